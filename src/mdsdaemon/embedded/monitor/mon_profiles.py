"""What the profiles of mon caps (``profile mds``, …) stand for.

Format: ceph/ceph, src/mon/MonCap.cc, MonCapGrant::expand_profile (Pacific)
"""

from __future__ import annotations

from functools import lru_cache

from mdsdaemon.embedded.monitor.mon_caps_grammar import RWX, Constraint, MonCapGrant, R, W, X

_DAEMONS = ("osd", "mds", "mon", "mgr")
_RBD_OSD_CAPS = (
    "^([ ,]*profile(=|[ ]+)['\"]?rbd[^ ,'\"]*['\"]?([ ]+pool(=|[ ]+)['\"]?[^,'\"]+['\"]?)?)+$"
)
_ADDR_WITH_NONCE = "^[^/]+/[0-9]+$"


def _service(name: str, allow: int) -> MonCapGrant:
    return MonCapGrant(service=name, allow=allow)


def _command(name: str, **constraints: tuple[str, str]) -> MonCapGrant:
    args = tuple((key, Constraint(*value)) for key, value in sorted(constraints.items()))
    return MonCapGrant(command=name, args=args)


_READ = {service: _service(service, R) for service in ("mon", "osd", "mds", "pg")}
_FENCE = _command("osd blocklist", blocklistop=("equal", "add"), addr=("regex", _ADDR_WITH_NONCE))
_FENCE_OLD = _command(
    "osd blacklist", blacklistop=("equal", "add"), addr=("regex", _ADDR_WITH_NONCE)
)

_PROFILES: dict[str, tuple[MonCapGrant, ...]] = {
    "read-only": (MonCapGrant(allow=R),),
    "read-write": (MonCapGrant(allow=R | W),),
    "mon": (_service("mon", RWX), _service("log", RWX)),
    "osd": (_service("osd", RWX), _READ["mon"], _service("pg", R | W), _service("log", W)),
    "mds": (
        _service("mds", RWX),
        _READ["mon"],
        _READ["osd"],
        _command("osd pool rmsnap"),
        _command("osd blocklist"),
        _command("osd blacklist"),
        _service("log", W),
    ),
    "mgr": (
        _service("mgr", RWX),
        _service("log", R | W),
        _service("mon", R | W),
        _service("mds", R | W),
        _service("fs", R | W),
        _service("osd", R | W),
        _service("auth", R | W | X),
        _service("config-key", R | W),
        _service("config", R | W),
        _command("auth get-or-create"),
        _command("auth caps"),
        _command("auth rm"),
        _command("smart"),
    ),
    "bootstrap-osd": (
        _READ["mon"],
        _READ["osd"],
        _command("mon getmap"),
        _command("osd new"),
        _command("osd purge-new"),
    ),
    "bootstrap-mds": (
        _READ["mon"],
        _READ["osd"],
        _command("mon getmap"),
        _command(
            "auth get-or-create",
            entity=("prefix", "mds."),
            caps_mon=("equal", "allow profile mds"),
            caps_osd=("equal", "allow rwx"),
            caps_mds=("equal", "allow"),
        ),
    ),
    "bootstrap-mgr": (
        _READ["mon"],
        _READ["osd"],
        _command("mon getmap"),
        _command(
            "auth get-or-create",
            entity=("prefix", "mgr."),
            caps_mon=("equal", "allow profile mgr"),
        ),
    ),
    "bootstrap-rgw": (
        _READ["mon"],
        _READ["osd"],
        _command("mon getmap"),
        _command(
            "auth get-or-create",
            entity=("prefix", "client.rgw."),
            caps_mon=("equal", "allow rw"),
            caps_osd=("equal", "allow rwx"),
        ),
    ),
    "fs-client": (_READ["mon"], _READ["mds"], _READ["osd"], _READ["pg"]),
    "simple-rados-client": (_READ["mon"], _READ["osd"], _READ["pg"]),
    "simple-rados-client-with-blocklist": (_READ["mon"], _READ["osd"], _READ["pg"], _FENCE),
    "crash": (_READ["mon"],),
    "cephfs-mirror": (
        _READ["mon"],
        _READ["mds"],
        _READ["osd"],
        _READ["pg"],
        _command("config-key get", key=("prefix", "cephfs/mirror/peer/")),
    ),
    "role-definer": (_READ["mon"], _service("auth", RWX)),
}


@lru_cache(maxsize=256)
def expand(profile: str, name: str) -> tuple[MonCapGrant, ...]:
    """The grants of a profile for the entity `name`; none for a profile that is not known."""
    grants = list(_PROFILES.get(profile, ()))
    if profile in _DAEMONS:
        own = ("prefix", f"daemon-private/{name}/")
        grants += [
            _command(f"config-key {verb}", key=own)
            for verb in ("get", "put", "set", "exists", "delete")
        ]
    if profile in ("bootstrap-rbd", "bootstrap-rbd-mirror"):
        mon = "profile rbd-mirror" if profile == "bootstrap-rbd-mirror" else "profile rbd"
        grants += [
            _READ["mon"],
            _command(
                "auth get-or-create",
                entity=("prefix", "client."),
                caps_mon=("equal", mon),
                caps_osd=("regex", _RBD_OSD_CAPS),
            ),
        ]
    if profile.startswith("rbd"):
        grants += [_READ["mon"], _READ["osd"], _READ["pg"], _FENCE, _FENCE_OLD]
    if profile == "rbd-mirror":
        grants.append(_command("config-key get", key=("prefix", "rbd/mirror/")))
    elif profile == "rbd-mirror-peer":
        grants.append(_command("config-key get", key=("regex", "rbd/mirror/[^/]+")))
        grants.append(_command("config-key set", key=("prefix", "rbd/mirror/peer/")))
    return tuple(grants)
