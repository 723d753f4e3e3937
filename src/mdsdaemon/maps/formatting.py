"""How Ceph's JSON shows addresses."""

from typing import Any

from mdsdaemon.types.entity import EntityAddr, EntityAddrVec

_TYPE_NAMES = {
    EntityAddr.TYPE_NONE: "none",
    EntityAddr.TYPE_LEGACY: "v1",
    EntityAddr.TYPE_MSGR2: "v2",
    EntityAddr.TYPE_ANY: "any",
    EntityAddr.TYPE_CIDR: "cidr",
}


def sockaddr_str(addr: EntityAddr) -> str:
    """``127.0.0.1:6800`` or ``[::1]:6800``, without type and nonce."""
    if not addr.host:
        return "(unrecognized address family 0)"
    host = f"[{addr.host}]" if addr.is_ipv6 else addr.host
    return f"{host}:{addr.port}"


def legacy_str(addrs: EntityAddrVec) -> str:
    """The address of the old protocol, or else the first one, as ``127.0.0.1:6801/123``."""
    shown = addrs.legacy() or (addrs.addrs[0] if addrs.addrs else EntityAddr())
    return f"{sockaddr_str(shown)}/{shown.nonce}"


def dump_addr(addr: EntityAddr) -> dict[str, Any]:
    """One address as in Ceph's JSON."""
    return {
        "type": _TYPE_NAMES.get(addr.type, "???"),
        "addr": sockaddr_str(addr),
        "nonce": addr.nonce,
    }


def dump_addrs(addrs: EntityAddrVec) -> dict[str, Any]:
    """An address vector as in Ceph's JSON: ``{"addrvec": […]}``."""
    return {"addrvec": [dump_addr(addr) for addr in addrs.addrs]}
