"""Requests with fields that no client would send: each is answered, nothing breaks."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.unit.server_kit import Client, ServerKit, in_trio
from tests.unit.server_trees import check_links, check_sums

from mdsdaemon.messages.base import decode_message, encode_message
from mdsdaemon.messages.client_reply import MClientReply
from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.types.caps import Release
from mdsdaemon.types.client_args import ARGS_OF, ARGS_SIZE, encode_args
from mdsdaemon.types.client_ops import MdsOp
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.mds import FilePath

NAMES = ["a", "b", "d", ".", "..", "", "x" * 255, "y" * 300, "\udcff", "a\0b", "ü", ".snap", "_s_1"]
XATTRS = [
    "user.a", "ceph.dir.layout", "ceph.dir.layout.pool", "ceph.file.layout.stripe_unit",
    "ceph.quota", "ceph.quota.max_bytes", "ceph.dir.pin", "ceph.dir.pin.random",
    "ceph.dir.pin.distributed", "ceph.dir.subvolume", "ceph.mirror.info", "ceph.x", "",
    "ceph.dir.layout.json", "ceph.file.layout.json", "encryption.ctx",
]  # fmt: skip
VALUES = [
    b"",
    b"1",
    b"-1",
    b"x",
    b"\xff\xfe",
    b"99999999999999999999",
    b"a=b",
    b"{}",
    b"[[[[",
    b"nan",
]


class Fuzz:
    """Random requests of one client."""

    def __init__(self, kit: ServerKit, seed: int) -> None:
        self.kit, self.random = kit, random.Random(seed)
        self.clients = [kit.client(), kit.client("allow rw"), kit.client("allow r path=/d")]
        self.sent: list[tuple[Client, int]] = []

    def number(self) -> int:
        r = self.random
        return r.choice([0, 1, 2, 0xFF, 0x1000, 2**31, 2**32 - 1, r.randrange(2**32)])

    def ino(self) -> int:
        r = self.random
        known: list[int] = list(self.kit.rank.cache.inodes)
        return r.choice([1, 1, *r.sample(known, min(4, len(known))), 0, 2, 3, 0x100, 0x200, 0x600,
                         2**40 - 1, 2**63, 2**64 - 1, r.randrange(2**41)])  # fmt: skip

    def path(self) -> FilePath:
        r = self.random
        names = [r.choice(NAMES) for _ in range(r.choice([0, 1, 1, 1, 2, 3]))]
        return FilePath(self.ino(), "/".join(names))

    def args(self, op: int) -> bytes:
        r = self.random
        kind = ARGS_OF.get(op)
        if kind is None or r.random() < 0.3:
            return r.randbytes(ARGS_SIZE)
        args = kind()
        for name in kind.__annotations__:
            if name != "layout" and r.random() < 0.6:
                value = self.number()
                width = {"pool": 2**31 - 1, "flags": 0xFFFF, "rule": 255, "type": 255, "wait": 1}
                setattr(args, name, value & width.get(name, 2**32 - 1))
        return encode_args(args)

    def request(self, client: Client) -> MClientRequest:
        r = self.random
        op = int(r.choice([*MdsOp, 0, 0x999, 0xFFFFFFFF]))
        msg = MClientRequest(op, r.choice([0, 5, 2**32 - 1]), r.choice([0, 5, 2**32 - 1]))
        msg.path, msg.path2 = self.path(), self.path()
        if op in (MdsOp.SETXATTR, MdsOp.RMXATTR, MdsOp.GETVXATTR):
            msg.path2 = FilePath(0, r.choice(XATTRS))
        msg.raw_args = self.args(op)
        msg.ino = r.choice([0, 0, 0, self.ino()])
        msg.flags = r.choice([0, 0, 0, 1, 2, 4, 7, 2**32 - 1])
        msg.num_retry = r.choice([0, 0, 0, 1, 255])
        msg.oldest_client_tid = r.choice([0, client.tid, 2**64 - 1])
        msg.mdsmap_epoch = r.choice([0, 1])
        msg.stamp = r.choice([0, self.kit.rank.now(), 2**61])
        msg.data = r.choice([*VALUES, r.randbytes(40)])
        msg.gid_list = [r.randrange(2**64) for _ in range(r.choice([0, 0, 3]))]
        msg.alternate_name = r.choice(["", "", "z" * 2000])
        if r.random() < 0.2:
            msg.releases = [
                Release(self.ino(), self.number(), self.number(), self.number(), self.number(),
                        self.number(), self.number(), self.number(), r.choice(NAMES))
            ]  # fmt: skip
        return msg

    def send(self) -> None:
        """One request, as its bytes come from the wire."""
        r = self.random
        client = r.choice(self.clients)
        made = self.request(client)
        version, compat, front = encode_message(made, FEATURES_PACIFIC)
        msg: Any = decode_message(
            MClientRequest.TYPE, version, compat, front, b"", made.data, FEATURES_PACIFIC
        )
        client.tid += r.choice([1, 1, 1, 0])
        msg.tid, msg.source, msg.connection = client.tid, client.session.name, client.con
        self.kit.rank.server.handle_client_request(msg)
        self.kit.rank.end_of_dispatch()
        self.kit.settle()


@pytest.mark.parametrize("seed", range(10))
@in_trio
def test_any_request_is_answered(seed: int) -> None:
    kit = ServerKit()
    fuzz = Fuzz(kit, seed)
    fuzz.clients[0].mkdir("/d")
    fuzz.clients[0].create("/a")
    for _ in range(600):
        fuzz.send()
    kit.settle()
    waiting = [
        str(req)
        for client in fuzz.clients
        for req in client.session.requests.values()
        if req.op != MdsOp.SETFILELOCK  # of another client's lock, perhaps for ever
    ]
    assert waiting == []
    replies = sum(
        isinstance(msg, MClientReply) for client in fuzz.clients for msg in client.con.sent
    )
    assert replies > 300
    check_links(kit)
    check_sums(kit)
