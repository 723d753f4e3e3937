"""A rank with snapshots for tests, and views of what they see."""

from __future__ import annotations

from typing import Any

from tests.unit.server_kit import ServerKit

from mdsdaemon.maps.mds_map import FLAG_ALLOW_SNAPS
from mdsdaemon.messages.client_reply import decode_listing
from mdsdaemon.types.client_args import GetattrArgs, MkdirArgs, ReaddirArgs
from mdsdaemon.types.client_caps import STAT_CAP_INODE_ALL
from mdsdaemon.types.client_ops import READDIR_FRAG_END, READDIR_REPLY_BITFLAGS, MdsOp
from mdsdaemon.types.client_stat import STRUCT_REPLIES
from mdsdaemon.types.mds import FilePath


class SnapKit(ServerKit):
    """A rank whose map allows snapshots, and one client."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.rank.mdsmap.flags |= FLAG_ALLOW_SNAPS
        self.rank.snaps.table.create()
        self.rank.snaps.recovered = True
        self.rank.strays.look_again = lambda: None
        self.one = self.client()

    def path(self, directory: str, name: str) -> FilePath:
        return FilePath(self.find(directory).ino, name)

    def mksnap(self, directory: str, name: str, **fields: Any) -> Any:
        where = self.path(directory, name)
        return self.one.ask(MdsOp.MKSNAP, where, args=MkdirArgs(0o755), **fields)

    def rmsnap(self, directory: str, name: str) -> Any:
        return self.one.ask(MdsOp.RMSNAP, self.path(directory, name))

    def lssnap(self, directory: str | int) -> list[str]:
        ino = directory if isinstance(directory, int) else self.find(directory).ino
        reply = self.one.ask(MdsOp.LSSNAP, ino, args=ReaddirArgs())
        assert reply.result == 0
        return [entry.dname for entry in decode_listing(STRUCT_REPLIES, reply.first.extra).entries]

    def inside(self, directory: str | int, snap: str, rest: str = "") -> FilePath:
        """A path in a snapshot, as clients send it: an empty name stands for `.snap`."""
        ino = directory if isinstance(directory, int) else self.find(directory).ino
        text = f"/{snap}" if snap else ""
        return FilePath(ino, text + (f"/{rest}" if rest and text else rest))

    def stat(self, directory: str | int, snap: str, rest: str = "") -> Any:
        """What a snapshot ("": the tree of now) sees at a path below a directory; or the errno."""
        where = self.inside(directory, snap, rest)
        reply = self.one.ask(MdsOp.GETATTR, where, args=GetattrArgs(STAT_CAP_INODE_ALL))
        return reply.errno if reply.result else reply.trace.target

    def listing(self, directory: str | int, snap: str, rest: str = "") -> list[str]:
        """All names in a directory as a snapshot sees it, sorted."""
        args = ReaddirArgs(flags=READDIR_REPLY_BITFLAGS)
        where = self.inside(directory, snap, rest)
        names: list[str] = []
        while True:
            after = FilePath(0, names[-1] if names else "")
            reply = self.one.ask(MdsOp.READDIR, where, after, args)
            assert reply.result == 0, reply.errno
            listing = decode_listing(STRUCT_REPLIES, reply.first.extra)
            names += [entry.dname for entry in listing.entries]
            if listing.flags & READDIR_FRAG_END:
                return sorted(names)
            assert listing.entries

    def view(self, ino: int, snap: str) -> dict[str, tuple[Any, ...]]:
        """Everything that a snapshot sees of a directory, by path, as a client is told of it."""
        found: dict[str, tuple[Any, ...]] = {}
        todo = [""]
        while todo:
            rest = todo.pop()
            seen = self.stat(ino, snap, rest)
            assert not isinstance(seen, int), f"{rest} in {snap}: {seen}"
            found[rest] = (
                seen.ino, seen.mode, seen.uid, seen.size, seen.mtime, seen.ctime, seen.nlink,
                seen.symlink, seen.rdev, sorted(seen.xattrs().items()),
                (seen.nfiles, seen.nsubdirs),
            )  # fmt: skip
            if seen.mode & 0o170000 == 0o040000:
                names = self.listing(ino, snap, rest)
                todo += [f"{rest}/{name}" if rest else name for name in names]
        return found
