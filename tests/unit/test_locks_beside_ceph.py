"""What a stock ceph-mds (16.2.15) issued to two libcephfs clients, step by step, and the model.

`data/caps_16_2_15.json` has, for each step of some programs, the states of a file's locks (file,
auth, link, xattr), the loner and every client's capability once all was quiet, from
`ceph tell mds.0 dump inode`. What clients wish for is taken from there: that is their business.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.locks_world import World

from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.types import client_caps as cc

RECORDED: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "data" / "caps_16_2_15.json").read_text()
)
OTHERWISE = {
    # ceph-mds takes the range of a writer that is gone under LOCK, and leaves the lock there
    ("stat_beside_writer", 7),
}
"""Steps after which ours differs, and why."""
NUMBERS = {"A": 1, "B": 2}
MODES = {
    "r": cc.FILE_MODE_RD,
    "w": cc.FILE_MODE_WR,
    "w+": cc.FILE_MODE_RDWR,
    "r+": cc.FILE_MODE_RDWR,
}
LETTERS = {"p": None, "A": cc.CAP_SAUTH, "L": cc.CAP_SLINK, "X": cc.CAP_SXATTR, "F": cc.CAP_SFILE}


def bits(text: str) -> int:
    """Capabilities from Ceph's letters."""
    caps = shift = 0
    for letter in text.replace("-", ""):
        if letter == "p":
            caps |= cc.CAP_PIN
        elif letter.isupper():
            shift = LETTERS[letter] or 0
        else:
            caps |= 1 << "sxcrwbal".index(letter) << shift
    return caps


class Replay:
    """The steps of one program on the model."""

    def __init__(self) -> None:
        self.world = World()

    def take(self, number: int, *locks: tuple[int, int]) -> None:
        """A request of a client takes locks, and its reply brings a capability."""
        world = self.world
        for lock, mode in locks:
            world.enter(lock, mode, client=number)
        world.answer_all()
        while world.queued:
            assert world.serve(), world.locks
            world.answer_all()
        world.look(number)

    def step(self, who: str, what: str, *args: Any) -> None:
        number = NUMBERS[who]
        client = self.world.clients.get(number)
        has = 0 if client is None else client.has
        if what == "open":
            self.world.open(number, MODES[args[1]])
        elif what == "stat":
            wanted = [
                (lock, st.RD)
                for lock in (st.LINK, st.AUTH, st.FILE)
                if not has >> st.SHIFT[lock] & (cc.CAP_GSHARED | cc.CAP_GEXCL)
            ]
            if wanted:
                self.take(number, *wanted)
        elif what == "chmod":
            if not has & cc.CAP_AUTH_EXCL:
                self.take(number, (st.AUTH, st.X))
        elif what == "utimes":
            if not has & cc.CAP_FILE_EXCL:
                self.take(number, (st.FILE, st.X))
        elif what == "truncate":
            self.take(number, (st.FILE, st.X))
        elif what == "setxattr":
            self.take(number, (st.XATTR, st.X))
        elif what == "getxattr":
            if not has & cc.CAP_XATTR_SHARED:
                self.take(number, (st.XATTR, st.RD))
        elif what in ("link", "unlink", "rename"):
            self.take(number, (st.LINK, st.X))
        self.world.answer_all()


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_what_ceph_mds_issued(name: str) -> None:
    replay = Replay()
    world = replay.world
    more = 0
    for index, row in enumerate(RECORDED[name]):
        replay.step(*row["step"])
        for who, cap in row["caps"].items():
            if NUMBERS[who] in world.clients:
                world.want(NUMBERS[who], bits(cap["wanted"]))
        world.answer_all()
        if "->" in row["locks"] or (name, index) in OTHERWISE:
            continue  # it was not quiet yet
        where = f"{name}: after {row['step']}"
        assert world.states() == row["locks"], where
        loner = world.locks.loner
        assert loner == NUMBERS.get(row["loner"], -1), where
        for who, cap in row["caps"].items():
            if who == row["step"][0] and row["step"][1] in ("link", "rename"):
                more = cc.CAP_LINK_SHARED  # the lock is left before the reply is made here
            mask = ~more if who == "B" else ~0
            theirs = bits(cap["pending"]) & mask
            ours = world.clients[NUMBERS[who]].pending & mask
            assert cc.ccap_string(ours) == cc.ccap_string(theirs), f"{where}: {who}"
