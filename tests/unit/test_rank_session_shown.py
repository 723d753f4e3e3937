"""Filters of sessions, how they are shown, fading counts, and what a client may touch."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tables_kit import in_trio, tables_kit

from mdsdaemon.cephx.caps import MAY_READ, MDSAuthCaps
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.sessions.access import access_path
from mdsdaemon.rank.sessions.decay import DecayCounter
from mdsdaemon.rank.sessions.dump import dump_addr, dump_client_metadata, dump_session
from mdsdaemon.rank.sessions.filters import FilterError, SessionFilter
from mdsdaemon.types.entity import EntityAddr
from mdsdaemon.types.feature_bitset import FeatureBitset
from mdsdaemon.types.inode import Inode
from mdsdaemon.types.session import ClientMetadata

# -- filters ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["x"], "Invalid filter 'x'"),
        (["foo=1"], "Invalid filter key 'foo'"),
        (["client_metadata.=1"], "Invalid filter key 'client_metadata.'"),
        (["reconnecting=yes"], "Invalid boolean value 'yes'"),
        (["id=1x"], "Expected option value to be integer, got '1x'"),
        (["id=99999999999999999999"], "'99999999999999999999' seems to be invalid"),
    ],
)
def test_what_is_no_filter(words: list[str], error: str) -> None:
    with pytest.raises(FilterError, match=error):
        SessionFilter.parse(words)


@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_words_are_a_filter_or_are_refused(words: list[str]) -> None:
    try:
        SessionFilter.parse(words)
    except FilterError:
        pass


@pytest.mark.parametrize(
    ("words", "matches"),
    [
        ([], True),
        (["4101"], True),
        (["4102"], False),
        (["4101", "state=closed"], True),  # nothing counts after a bare number
        (["id=4101", "state=closed"], True),
        (["id=0"], True),
        (["state=open"], False),
        (["auth_name=admin"], True),
        (["auth_name=client.admin"], False),
        (["client_metadata.hostname=box"], True),
        (["client_metadata.hostname=other"], False),
        (["client_metadata.pid=1"], False),
        (["reconnecting=false"], True),
        (["reconnecting=1"], False),
    ],
)
@in_trio
async def test_matching(words: list[str], matches: bool) -> None:
    session = tables_kit().client().session
    session.info.client_metadata.kv_map = {"hostname": "box"}
    assert SessionFilter.parse(words).match(session) is matches


# -- showing ---------------------------------------------------------------------------------


@in_trio
async def test_a_session_is_shown_as_ceph_shows_it() -> None:
    kit = tables_kit()
    client = kit.client()
    session = client.session
    kit.rank.sessionmap.add_session(session)
    session.replay_add_prealloc({1 << 40: 10})
    session.delegate_inos(4)
    session.add_completed_request(7, 0x10000000000)
    session.info.client_metadata = ClientMetadata({"root": "/"}, FeatureBitset.of(range(16)))
    await trio.sleep(3)
    shown = json.loads(json.dumps(dump_session(session)))
    assert list(shown) == [
        "id", "entity", "state", "num_leases", "num_caps", "uptime", "requests_in_flight",
        "num_completed_requests", "num_completed_flushes", "reconnecting", "recall_caps",
        "release_caps", "recall_caps_throttle", "recall_caps_throttle2o", "session_cache_liveness",
        "cap_acquisition", "last_trim_completed_requests_tid", "last_trim_completed_flushes_tid",
        "delegated_inos", "inst", "completed_requests", "prealloc_inos", "client_metadata",
    ]  # fmt: skip
    assert shown["state"] == "closed"
    assert shown["uptime"] == 3
    assert shown["delegated_inos"] == [{"start": "0x10000000000", "length": 4}]
    assert shown["prealloc_inos"] == [{"start": "0x10000000000", "length": 10}]
    assert shown["completed_requests"] == [{"tid": 7, "created_ino": "0x10000000000"}]
    assert shown["client_metadata"] == {
        "client_features": {"feature_bits": "0x000000000000ffff"},
        "metric_spec": {"metric_flags": {"feature_bits": "0x"}},
        "root": "/",
    }
    assert shown["recall_caps_throttle2o"] == {"value": 0.0, "halflife": 0.5}


def test_addresses_and_features() -> None:
    addr = EntityAddr(EntityAddr.TYPE_ANY, 5, "127.0.0.1", 0)
    assert dump_addr(addr) == {"type": "any", "addr": "127.0.0.1:0", "nonce": 5}
    six = EntityAddr(EntityAddr.TYPE_MSGR2, 5, "::1", 6800)
    assert dump_addr(six) == {"type": "v2", "addr": "[::1]:6800", "nonce": 5}
    metadata = ClientMetadata({}, FeatureBitset.of([70]))
    bits = dump_client_metadata(metadata)["client_features"]["feature_bits"]
    assert bits == "0x" + "00000000000000400000000000000000"


@in_trio
async def test_the_name_for_people() -> None:
    kit = tables_kit()
    session = kit.client(name="web").session
    assert str(session) == str(session.client)
    session.info.client_metadata.kv_map = {"hostname": "box"}
    assert str(session) == f"box:web ({session.client})"
    session = kit.client(name="a-name-that-is-long").session
    session.info.client_metadata.kv_map = {"hostname": "box"}
    assert session.human_name == "box"


# -- counting --------------------------------------------------------------------------------


@in_trio
async def test_counts_fade() -> None:
    counter = DecayCounter(10)
    assert counter.hit(8) == 8
    await trio.sleep(10)
    assert counter.get() == pytest.approx(4)
    assert counter.hit(1) == pytest.approx(5)
    await trio.sleep(20)
    assert counter.dump() == {"value": pytest.approx(1.25), "halflife": 10}
    assert counter.hit(-5) == 0
    await trio.sleep(1000)
    assert counter.get() == 0


# -- access ----------------------------------------------------------------------------------


def an_inode(kit: Any, parent: CInode, name: str, ino: int, mode: int) -> CInode:
    cache = kit.rank.cache
    inode: CInode = cache.add_inode(CInode(ino, Inode(ino=ino, mode=mode, nlink=1)))
    cache.add_dir(inode)
    cache.link_primary(cache.add_dentry(kit.rank.store.dir_for(parent, name), name), inode)
    return inode


@in_trio
async def test_paths_that_caps_are_matched_with() -> None:
    kit = tables_kit()
    session = kit.client("allow r path=/a/b").session
    session.rank = kit.rank
    a = an_inode(kit, kit.kit.root, "a", 1 << 41, 0o040755)
    b = an_inode(kit, a, "b", (1 << 41) + 1, 0o040755)
    f = an_inode(kit, b, "f", (1 << 41) + 2, 0o100644)
    c = an_inode(kit, a, "bc", (1 << 41) + 3, 0o040755)
    assert access_path(session, kit.kit.root) == ""
    assert access_path(session, f) == "a/b/f"
    session.check_access(f, MAY_READ, 0, 0)
    session.check_access(b, MAY_READ, 0, 0)
    for other in (a, c, kit.kit.root):
        with pytest.raises(FsError):
            session.check_access(other, MAY_READ, 0, 0)
    # what is unlinked counts where it was
    stray = an_inode(kit, kit.rank.strays.stray_dir_inode(), "5", (1 << 41) + 4, 0o100644)
    stray.inode.stray_prior_path = "/a/b/gone"
    session.check_access(stray, MAY_READ, 0, 0)
    stray.inode.stray_prior_path = "/c/gone"
    with pytest.raises(FsError):
        session.check_access(stray, MAY_READ, 0, 0)


@in_trio
async def test_a_layout_that_an_old_client_cannot_understand() -> None:
    kit = tables_kit()
    client = kit.client()
    client.session.auth_caps = MDSAuthCaps.parse("allow *")
    kit.kit.root.inode.layout.pool_ns = "ns"
    client.session.check_access(kit.kit.root, MAY_READ, 0, 0)
    client.con.features = 0
    with pytest.raises(FsError) as e:
        client.session.check_access(kit.kit.root, MAY_READ, 0, 0)
    assert e.value.errno == 5
