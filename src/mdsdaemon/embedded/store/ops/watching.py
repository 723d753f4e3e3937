"""Operations that watch an object and tell its watchers something.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (do_osd_ops)
"""

from __future__ import annotations

from errno import ENOENT, ENOTCONN, ETIMEDOUT
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.store.context import nothing
from mdsdaemon.embedded.store.ops.table import handles
from mdsdaemon.embedded.store.requests import NotifyAck, NotifyStart, WatchConnect
from mdsdaemon.encoding import U32, U64, Blob, DecodeError, Tuple, decode, encode
from mdsdaemon.types.osd_op import COOKIE, WATCH, Op, OSDOp, WatchOp
from mdsdaemon.types.watch import WatchInfo, WatchItem, WatchList

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext

_NOTIFY: Final = Tuple(U32, Tuple(U32, Blob))
_ACK: Final = Tuple(U64, U64)
_ACK_REPLY: Final = Tuple(U64, Tuple(U64, Blob))


@handles(Op.WATCH)
def watch(ctx: OpContext, op: OSDOp) -> int:
    """Begin, renew, confirm or end a watch of the client on the object."""
    if not ctx.exists:
        return -ENOENT
    cookie, _, kind, _, timeout = WATCH.unpack(op.args)
    oi, who = ctx.oi, (cookie, ctx.req.entity)
    info = WatchInfo(cookie, timeout or ctx.engine.limits.osd_client_watch_timeout, ctx.req.addr)
    if kind in (WatchOp.WATCH, WatchOp.LEGACY_WATCH):
        if who not in oi.watchers:
            oi.watchers = {**oi.watchers, who: info}
            ctx.add(nothing)
        ctx.effect().connects.append(WatchConnect(info, kind == WatchOp.WATCH))
    elif kind == WatchOp.RECONNECT:
        if who not in oi.watchers:
            return -ENOTCONN
        ctx.effect().connects.append(WatchConnect(info, True))
    elif kind == WatchOp.PING:
        if who not in oi.watchers:
            return -ENOTCONN
        if not ctx.engine.watches.got_ping(ctx.req.pool, ctx.req.key, who, ctx.now):
            return -ETIMEDOUT
    elif kind == WatchOp.UNWATCH and who in oi.watchers:
        oi.watchers = {k: v for k, v in oi.watchers.items() if k != who}
        ctx.add(nothing)
        ctx.effect().disconnects.append((*who, False))
    return 0


@handles(Op.NOTIFY)
def notify(ctx: OpContext, op: OSDOp) -> int:
    """Tell all watchers; the output is the notification's number."""
    (cookie,) = COOKIE.unpack(op.args)
    try:
        _, (timeout, payload) = decode(_NOTIFY, op.indata, partial=True)
    except DecodeError:
        timeout, payload = 0, b""
    timeout = timeout or ctx.engine.limits.osd_default_notify_timeout
    number = ctx.engine.next_notify_id()
    ctx.effect().notifies.append(NotifyStart(number, cookie, timeout, payload))
    op.outdata = number.to_bytes(8, "little")
    ctx.reads += 1
    return ctx.result


@handles(Op.NOTIFY_ACK)
def notify_ack(ctx: OpContext, op: OSDOp) -> int:
    """A watcher's answer to a notification."""
    data, reply = op.indata, b""
    try:
        if len(data) > 16:
            number, (cookie, reply) = decode(_ACK_REPLY, data, partial=True)
        else:
            number, cookie = decode(_ACK, data)
        ack = NotifyAck(number, cookie, reply)
    except DecodeError:
        # the form of old clients: the notification's number where the cookie is now
        ack = NotifyAck(COOKIE.unpack(op.args)[0])
    ctx.effect().acks.append(ack)
    ctx.reads += 1
    return ctx.result


@handles(Op.LIST_WATCHERS)
def list_watchers(ctx: OpContext, op: OSDOp) -> int:
    """Who watches the object."""
    entries = [
        WatchItem(who, cookie, info.timeout, info.addr)
        for (cookie, who), info in sorted(ctx.oi.watchers.items())
    ]
    op.outdata = encode(WatchList, WatchList(entries), ctx.req.features)
    ctx.reads += 1
    return 0
