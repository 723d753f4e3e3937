"""What the engine is asked and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mdsdaemon.types.entity import EntityAddr, PeerName
from mdsdaemon.types.osd import NOSNAP, EVersion

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mdsdaemon.embedded.storage import Change
    from mdsdaemon.embedded.store.dups import ReqId
    from mdsdaemon.embedded.store.op_info import OpInfo
    from mdsdaemon.embedded.store.state import ObjectKey
    from mdsdaemon.types.osd_op import OSDOp
    from mdsdaemon.types.watch import WatchInfo

NO_VERSION = EVersion()
NO_ADDR = EntityAddr()


@attrs.define
class OpRequest:
    """Operations of one client on one object or placement group.

    Attributes:
        key: the object; with an empty name for operations on the placement group.
        seed: of the placement group, as the client addressed it.
        hash: the object's whole placement hash.
        snapid: what to read, NOSNAP for the present.
        snap_seq, snaps: the snapshots that exist for a write, newest first.
        ops: with their input; the engine writes output and results into them.
        flags: `Flag` bits.
        reqid: tells resent requests from new ones; its name is the client.
        epoch: of the client's OSDMap.
        mtime: nanoseconds, 0 for none.
        addr, features: the client's.
        connection: stands for the client's connection in watches and notifications.
    """

    pool: int
    key: ObjectKey
    seed: int
    hash: int
    ops: list[OSDOp]
    reqid: ReqId
    entity: PeerName
    snapid: int = NOSNAP
    snap_seq: int = 0
    snaps: list[int] = attrs.Factory(list)
    flags: int = 0
    epoch: int = 0
    mtime: int = 0
    addr: EntityAddr = NO_ADDR
    features: int = (1 << 64) - 1
    connection: Hashable = None
    info: OpInfo | None = None


@attrs.define
class WatchConnect:
    """A watch to connect to the client's connection once the request is committed."""

    info: WatchInfo
    will_ping: bool


@attrs.define
class NotifyStart:
    """A notification to send to all watchers; `timeout` in seconds."""

    notify_id: int
    cookie: int
    timeout: int
    payload: bytes


@attrs.define
class NotifyAck:
    """A watcher's answer; without cookie it is that of all watches of the client."""

    notify_id: int
    cookie: int | None = None
    reply: bytes = b""


@attrs.define
class Effects:
    """What a request does beside the object: to be done when it is committed."""

    pool: int
    key: ObjectKey
    user_version: int = 0
    disconnects: list[tuple[int, PeerName, bool]] = attrs.Factory(list)
    """(cookie, client, whether it is told)."""
    connects: list[WatchConnect] = attrs.Factory(list)
    notifies: list[NotifyStart] = attrs.Factory(list)
    acks: list[NotifyAck] = attrs.Factory(list)


@attrs.define
class OpOutcome:
    """The answer to a request.

    Attributes:
        result: 0 or more, or -errno.
        replay_version, bad_replay_version, user_version: as an MOSDOpReply has them.
        with_data: whether the operations' output is part of the answer.
        error: the answer is one of those that echo the acknowledgement flags of the request.
        changes: records to commit before the answer is sent; None where nothing is stored.
        after: the answer waits until the commit of this number (`ObjectEngine.sequence`) is over.
        effects: to be handed to the watch table.
    """

    result: int = 0
    replay_version: EVersion = NO_VERSION
    bad_replay_version: EVersion = NO_VERSION
    user_version: int = 0
    with_data: bool = True
    error: bool = False
    changes: list[Change] | None = None
    after: int = 0
    effects: Effects | None = None
    ops: list[OSDOp] | None = None
    """Other operations than the request's, for the answer to one that was resent."""
