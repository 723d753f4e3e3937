"""Whatever is left out of a batch of events, the cache becomes the same."""

from __future__ import annotations

from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rank_kit import replay_into
from tests.unit.server_kit import ServerKit

from mdsdaemon.encoding import to_plain
from mdsdaemon.rank.cache.dentry_codec import store_of

NAMES = ("a", "b", "c")
TOPS = [f"/{name}" for name in NAMES]
PATHS = [f"{top}/{name}" for top in TOPS for name in NAMES]
MODE = 1
"""CEPH_SETATTR_MODE."""

MAKING = ("mkdir", "create", "symlink", "unlink", "rmdir", "rename", "link")
CHANGING = ("setxattr", "chmod")
DEEDS = st.one_of(
    st.tuples(st.sampled_from(MAKING), st.sampled_from(PATHS), st.sampled_from(PATHS)),
    st.tuples(st.sampled_from(CHANGING), st.sampled_from(TOPS + PATHS), st.sampled_from(PATHS)),
)


def do(client: Any, kind: str, path: str, other: str) -> None:
    """One request; that it cannot be done is an answer, too."""
    if kind == "symlink":
        client.symlink("target", path)
    elif kind in ("rename", "link"):
        getattr(client, kind)(path, other)
    elif kind == "setxattr":
        client.setxattr(path, "user.x", other.encode())
    elif kind == "chmod":
        client.setattr(path, MODE, mode=0o600 + len(other))
    else:
        getattr(client, kind)(path)


def image(kit: ServerKit) -> dict[str, Any]:
    """All inodes, fragments and dentries in the cache, and what of them is to be stored."""
    found: dict[str, Any] = {}
    for ino, inode in kit.rank.cache.inodes.items():
        parent = inode.parent and (inode.parent.dir.inode.ino, inode.parent.name)
        found[f"{ino:x}"] = (to_plain(store_of(inode)), parent, inode.backtrace_segment is None)
        for directory in inode.dirs.values():
            entries = [
                (dn.key, dn.first, dn.version, dn.inode and dn.inode.ino, dn.remote_ino)
                for dn in sorted(directory.all_items(), key=lambda dn: dn.key)
            ]
            dirty = sorted(directory.dirty_items)
            found[str(directory.dirfrag)] = (to_plain(directory.fnode), entries, dirty)
    return found


async def compared(deeds: list[tuple[str, str, str]], cuts: list[int]) -> None:
    kit = ServerKit()
    clients = [kit.client(), kit.client()]
    for top in TOPS:
        assert clients[0].mkdir(top).errno == 0
    for number, deed in enumerate(deeds):
        do(clients[number % 2], *deed)
    events = [event for _, event in kit.mdlog.events]
    plain, short = ServerKit(), ServerKit()
    for event in events:
        replay_into(plain.rank, plain.mdlog.segment, [event])
    ends = sorted({cut % (len(events) + 1) for cut in cuts} | {len(events)})
    for begin, end in zip([0, *ends], ends, strict=False):
        replay_into(short.rank, short.mdlog.segment, events[begin:end])
    assert image(short) == image(plain)


@settings(deadline=None, max_examples=60)
@given(st.lists(DEEDS, min_size=3, max_size=30), st.lists(st.integers(0, 1000), max_size=3))
def test_the_cache_is_the_same(deeds: list[tuple[str, str, str]], cuts: list[int]) -> None:
    trio.run(compared, deeds, cuts)
