"""What clients of the kit say of their capabilities."""

from __future__ import annotations

from typing import Any

from tests.unit.server_kit import Client, ServerKit

from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.types.client_ops import CapOp


def cap_of(kit: ServerKit, client: Client, path: str) -> Any:
    return kit.find(path).caps[client.number]


def update(kit: ServerKit, client: Client, path: str, **fields: Any) -> MClientCaps:
    """A message as the client sends it, with what it has; handled at once."""
    inode = kit.find(path)
    cap, stored = inode.caps[client.number], inode.inode
    values: dict[str, Any] = {
        "cap_id": cap.cap_id,
        "seq": cap.last_sent,
        "issue_seq": cap.last_issue,
        "caps": cap.pending,
        "wanted": cap.wanted,
        "size": stored.size,
        "mtime": stored.mtime,
        "atime": stored.atime,
        "ctime": stored.ctime,
        "uid": stored.uid,
        "gid": stored.gid,
        "mode": stored.mode,
        "btime": stored.btime,
    } | {name: value for name, value in fields.items() if name not in ("tid", "middle")}
    msg = MClientCaps(fields.get("op", CapOp.UPDATE), inode.ino, **values)
    msg.tid = fields.get("tid", 0)
    msg.middle = fields.get("middle", b"")
    msg.xattr_len = len(msg.middle)
    client._say(msg, kit.rank.locker.handle_client_caps)
    return msg


def got(client: Client, op: CapOp) -> list[MClientCaps]:
    return [m for m in client.con.sent if isinstance(m, MClientCaps) and m.op == op]
