"""Clients that never say that they have heard of what is done."""

from __future__ import annotations

from tests.unit.locker_steps import update
from tests.unit.server_kit import ServerKit, in_trio

from mdsdaemon.types import client_caps as cc


def complaints(kit: ServerKit) -> list[str]:
    return [text for level, text in kit.kit.said if level == "warn"]


@in_trio
def test_requests_that_are_kept_are_complained_of_less_and_less_often() -> None:
    kit = ServerKit(mds_max_completed_requests="4")
    client = kit.client()
    for n in range(20):
        client.mkdir(f"/d{n}", oldest_client_tid=1)
    who = f"client.{client.number} does not advance its oldest_client_tid (1), "
    assert complaints(kit) == [
        f"{who}{held} completed requests recorded in session" for held in (4, 8, 16)
    ]
    assert client.session.num_trim_requests_warnings == 3
    segment = kit.mdlog.segment
    segment.sessions.clear()
    client.mkdir("/e", oldest_client_tid=client.tid)
    assert client.session.num_trim_requests_warnings == 0
    assert client.session.info.completed_requests.keys() == {client.tid - 1, client.tid}
    assert client.number in segment.sessions


@in_trio
def test_flushes_that_are_kept_are_complained_of_too() -> None:
    kit = ServerKit(mds_max_completed_flushes="2")
    client = kit.client()
    client.create("/f", 0o102)
    for tid in range(1, 7):
        update(kit, client, "/f", dirty=cc.CAP_FILE_WR, tid=tid, oldest_flush_tid=1, size=tid)
    who = f"client.{client.number} does not advance its oldest_flush_tid (1), "
    assert complaints(kit) == [
        f"{who}{held} completed flushes recorded in session" for held in (2, 4)
    ]
    assert client.session.num_trim_flushes_warnings == 2
    update(kit, client, "/f", dirty=cc.CAP_FILE_WR, tid=7, oldest_flush_tid=7, size=7)
    assert client.session.num_trim_flushes_warnings == 0
    assert client.session.info.completed_flushes == {7}
