"""Sessions as commands and table tools show them.

Format: ceph/ceph, src/mds/SessionMap.cc (Session::dump), src/mds/mdstypes.cc (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.messages.formatter import NamedList
from mdsdaemon.types.client_caps import ccap_string
from mdsdaemon.types.entity import EntityAddr, type_name

if TYPE_CHECKING:
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.tables.intervals import Intervals
    from mdsdaemon.types.session import ClientMetadata


def dump_session(session: Session, *, cap_dump: bool = False) -> dict[str, Any]:
    """One session of `session ls`."""
    info = session.info
    out: dict[str, Any] = {
        "id": session.client,
        "entity": {
            "name": {"type": type_name(session.name.type), "num": session.client},
            "addr": dump_addr(info.inst.addr),
        },
        "state": session.state.name.lower(),
        "num_leases": len(session.leases),
        "num_caps": len(session.caps),
    }
    if cap_dump:
        out["caps"] = NamedList("cap", (_dump_cap(cap) for cap in reversed(session.caps.values())))
    if session.is_open() or session.is_stale():
        out["request_load_avg"] = int(session.loads.load_avg.get())
    out["uptime"] = trio.current_time() - session.birth_time
    out["requests_in_flight"] = len(session.requests)
    out["num_completed_requests"] = len(info.completed_requests)
    out["num_completed_flushes"] = len(info.completed_flushes)
    out["reconnecting"] = session.reconnecting
    out |= session.loads.dump()
    out["last_trim_completed_requests_tid"] = session.last_trim_requests_tid
    out["last_trim_completed_flushes_tid"] = session.last_trim_flushes_tid
    out["delegated_inos"] = _ranges(session.delegated_inos)
    out["inst"] = f"{session.name} {info.inst.addr}"
    out["completed_requests"] = NamedList(
        "request",
        (
            {"tid": tid, "created_ino": f"0x{ino:x}"}
            for tid, ino in sorted(info.completed_requests.items())
        ),
    )
    out["prealloc_inos"] = _ranges(session.prealloc_inos)
    out["client_metadata"] = dump_client_metadata(info.client_metadata)
    return out


def dump_client_metadata(metadata: ClientMetadata) -> dict[str, Any]:
    """What a client says of itself."""
    flags = metadata.metric_spec.metric_flags
    return {
        "client_features": {"feature_bits": _bits(metadata.features.mask)},
        "metric_spec": {"metric_flags": {"feature_bits": _bits(flags.mask)}},
        **{key: metadata.kv_map[key] for key in sorted(metadata.kv_map)},
    }


def dump_addr(addr: EntityAddr) -> dict[str, Any]:
    """An address, as in JSON."""
    kinds = {0: "none", 1: "v1", 2: "v2", 3: "any", 4: "cidr"}
    text = str(addr)
    for prefix in ("v1:", "v2:", "any:"):
        text = text.removeprefix(prefix)
    return {
        "type": kinds.get(addr.type, "???"),
        "addr": text.rpartition("/")[0] or text,
        "nonce": addr.nonce,
    }


def _bits(mask: int) -> str:
    blocks = -(-mask.bit_length() // 64)
    return "0x" + (f"{mask:0{16 * blocks}x}" if blocks else "")


def _ranges(numbers: Intervals) -> NamedList:
    return NamedList(
        "ino_range", ({"start": f"0x{start:x}", "length": length} for start, length in numbers)
    )


def _dump_cap(cap: Any) -> dict[str, Any]:
    dump = getattr(cap, "dump", None)
    if dump is not None:
        made: dict[str, Any] = dump()
        return made
    return {"wanted": ccap_string(cap.wanted), "pending": ccap_string(cap.pending)}
