"""What librados does with pools and snapshots, as a program of the system's Python.

    rados_pools.py CONF KEYRING_OF_OTHERS

Prints one JSON document: pairs of what was asked and what came of it.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import rados  # type: ignore[import-not-found, unused-ignore]

said: list[list[Any]] = []


def tell(what: str, call: Callable[..., Any], *args: Any) -> Any:
    """Note what the call gives back, or how it fails."""
    try:
        value = call(*args)
    except rados.Error as e:
        said.append([what, [type(e).__name__, e.errno]])
        return None
    except KeyError as e:
        said.append([what, [type(e).__name__, str(e)]])
        return None
    said.append([what, value if isinstance(value, (int, str, list, dict, tuple)) else None])
    return value


def ours(cluster: Any) -> list[str]:
    """The pools, but for that of a real manager, which comes when it comes."""
    return sorted(name for name in cluster.list_pools() if name != "device_health_metrics")


def pools(cluster: Any) -> None:
    tell("nothing yet", cluster.pool_exists, "a")
    tell("create", cluster.create_pool, "a")
    tell("create again", cluster.create_pool, "a")
    tell("create with a rule", cluster.create_pool, "b", 0)
    tell("create with no such rule", cluster.create_pool, "c", 99)
    tell("create without a name", cluster.create_pool, "")
    cluster.wait_for_latest_osdmap()
    tell("list", lambda: ours(cluster))
    number = cluster.pool_lookup("a")
    tell("look up", lambda: cluster.pool_reverse_lookup(number))
    tell("look up nothing", cluster.pool_lookup, "nix")
    tell("look up no number", cluster.pool_reverse_lookup, 9999)
    tell("base tier", lambda: cluster.get_pool_base_tier(number) == number)
    tell("delete nothing", cluster.delete_pool, "nix")
    tell("open nothing", cluster.open_ioctx, "nix")


def pool_snapshots(cluster: Any) -> None:
    ctx = cluster.open_ioctx("a")
    tell("alignment", ctx.alignment)
    ctx.write_full("o", b"before")
    tell("snap", ctx.create_snap, "s1")
    ctx.write_full("o", b"after")
    tell("snap again", ctx.create_snap, "s1")
    tell("second snap", ctx.create_snap, "s2")
    tell("snaps", lambda: [[snap.name, snap.snap_id] for snap in ctx.list_snaps()])
    snap = ctx.lookup_snap("s1")
    tell("its time", lambda: abs(snap.get_timestamp().timestamp() - time.time()) < 90)
    ctx.set_read(snap.snap_id)
    tell("read then", lambda: ctx.read("o").decode())
    ctx.set_read(rados.LIBRADOS_SNAP_HEAD)
    tell("read now", lambda: ctx.read("o").decode())
    tell("roll back", ctx.snap_rollback, "o", "s1")
    tell("read back", lambda: ctx.read("o").decode())
    tell("no such snap", ctx.lookup_snap, "nix")
    tell("remove", ctx.remove_snap, "s1")
    tell("remove again", ctx.remove_snap, "s1")
    tell("snaps left", lambda: [[snap.name, snap.snap_id] for snap in ctx.list_snaps()])
    tell("own snaps beside a pool's", ctx.create_self_managed_snap)
    ctx.close()


def own_snapshots(cluster: Any) -> None:
    ctx = cluster.open_ioctx("b")
    ctx.write_full("o", b"first")
    first = tell("own snap", ctx.create_self_managed_snap)
    ctx.set_self_managed_snap_write([first])
    ctx.write_full("o", b"second")
    second = tell("next own snap", ctx.create_self_managed_snap)
    ctx.set_self_managed_snap_write([second, first])
    ctx.write_full("o", b"third")
    for snap in (first, second):
        ctx.set_read(snap)
        tell("read at it", lambda: ctx.read("o").decode())
    ctx.set_read(rados.LIBRADOS_SNAP_HEAD)
    tell("remove own", ctx.remove_self_managed_snap, first)
    tell("remove own again", ctx.remove_self_managed_snap, first)
    tell("remove one never made", ctx.remove_self_managed_snap, 999)
    tell("a pool's beside own", ctx.create_snap, "s")
    ctx.set_self_managed_snap_write([second])
    tell("roll back to own", ctx.rollback_self_managed_snap, "o", second)
    tell("read back", lambda: ctx.read("o").decode())
    ctx.close()


def applications(cluster: Any) -> None:
    ctx = cluster.open_ioctx("a")
    tell("no application", ctx.application_list)
    tell("enable", ctx.application_enable, "rbd")
    tell("enable a second", ctx.application_enable, "other")
    tell("enable a second with force", ctx.application_enable, "other", True)
    tell("set", ctx.application_metadata_set, "rbd", "k", "v")
    tell("set of none", ctx.application_metadata_set, "nix", "k", "v")
    cluster.wait_for_latest_osdmap()
    tell("applications", lambda: sorted(ctx.application_list()))
    tell("get", ctx.application_metadata_get, "rbd", "k")
    tell("get nothing", ctx.application_metadata_get, "rbd", "nix")
    tell("list", lambda: sorted(ctx.application_metadata_list("rbd")))
    tell("remove", ctx.application_metadata_remove, "rbd", "k")
    ctx.close()


def who_may(cluster: Any, conf: str, keyring: str) -> None:
    """What capabilities of monitor and OSD let through."""
    for name in ("client.reads", "client.snaps", "client.all"):
        other = rados.Rados(conffile=conf, name=name, conf={"keyring": keyring})
        other.connect(timeout=20)
        tell(f"{name} create", other.create_pool, f"made-by-{name}")
        ctx = other.open_ioctx("b")
        tell(f"{name} snap", lambda: ctx.create_self_managed_snap() > 0)  # noqa: B023
        tell(f"{name} pool snap", other.open_ioctx("a").create_snap, name)
        tell(f"{name} application", ctx.application_enable, name)
        ctx.close()
        other.shutdown()
    cluster.wait_for_latest_osdmap()
    tell("in the end", lambda: ours(cluster))


def figures(cluster: Any) -> None:
    ctx = cluster.open_ioctx("b")
    keys = ("num_bytes", "num_kb", "num_objects", "num_object_clones", "num_object_copies")
    for number in range(7):
        ctx.write_full(f"more{number}", b"x" * 1000 * number)

    def stats() -> dict[str, int]:
        got = ctx.get_stats()
        return {key: got[key] for key in keys}

    until = time.monotonic() + 20
    while stats()["num_objects"] < 9 and time.monotonic() < until:
        time.sleep(0.1)  # a real cluster's figures come late
    tell("pool's figures", stats)
    tell("their names", lambda: sorted(ctx.get_stats()))
    tell("cluster's figures", lambda: sorted(cluster.get_cluster_stats()))
    tell("its objects", lambda: cluster.get_cluster_stats()["num_objects"])
    ctx.close()


def fenced(cluster: Any, conf: str) -> None:
    other = rados.Rados(conffile=conf, name="client.admin")
    other.connect(timeout=20)
    ctx = other.open_ioctx("a")
    tell("before the fence", ctx.write_full, "f", b"1")
    tell("fence", cluster.blocklist_add, other.get_addrs(), 60)
    other.wait_for_latest_osdmap()
    tell("behind the fence", ctx.write_full, "f", b"2")
    tell("wrong address", cluster.blocklist_add, "nix", 60)
    ctx.close()
    other.shutdown()


def main() -> None:
    conf, keyring = sys.argv[1:3]
    cluster = rados.Rados(conffile=conf, name="client.admin")
    cluster.connect(timeout=20)
    pools(cluster)
    pool_snapshots(cluster)
    own_snapshots(cluster)
    applications(cluster)
    who_may(cluster, conf, keyring)
    figures(cluster)
    fenced(cluster, conf)
    for name in ours(cluster):
        tell(f"delete {name}", cluster.delete_pool, name)
    tell("nothing left", ours, cluster)
    print(json.dumps(said))  # noqa: T201
    cluster.shutdown()


main()
