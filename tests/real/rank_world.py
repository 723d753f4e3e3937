"""What tests of ranks on real clusters share: trees made and listed, hand-overs, scrub, journals.

Every listing is made by libcephfs, every verdict by Ceph's own tools.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from typing import Any

from tests.real.cephfs_calls import CallError, CephFSPeer
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for

SUMS = ("entries", "files", "subdirs", "rentries", "rfiles", "rsubdirs", "rbytes")
XATTRS = ("user.note", "ceph.file.layout.stripe_unit")


_numbers = itertools.count()


def new_fs(cluster: RealCluster) -> None:
    """A file system in pools that never held another one."""
    number = next(_numbers)
    pools = [f"rank{number}.meta", f"rank{number}.data"]
    for pool in pools:
        cluster.mon("osd pool create", pool=pool, pg_num=1)
    cluster.mon("fs new", fs_name="cephfs", metadata=pools[0], data=pools[1])


def mounted(cluster: RealCluster) -> CephFSPeer:
    """A client of the cluster's file system."""
    fs = CephFSPeer(cluster.conf, client_mount_timeout="20")
    fs.call("mount")
    return fs


def write(fs: CephFSPeer, path: str, data: bytes) -> None:
    """Make a file of these bytes."""
    handle = fs.call("open", path, "w", 0o640)
    if data:
        fs.call("write", handle, data, 0)
    fs.call("close", handle)


def fill(cluster: RealCluster, name: str, files: int = 20) -> None:
    """A small tree of all kinds of things below /NAME; everything is on disk afterwards."""
    with mounted(cluster) as fs:
        top = f"/{name}"
        fs.call("mkdirs", f"{top}/deep/er/still", 0o755)
        for number in range(files):
            write(fs, f"{top}/f{number}", b"x" * (number % 3))
        write(fs, f"{top}/deep/er/file", b"deep")
        fs.call("symlink", "deep/er/file", f"{top}/link")
        fs.call("link", f"{top}/f1", f"{top}/deep/hard")
        fs.call("setxattr", f"{top}/f0", "user.note", b"noted", 0)
        fs.call("chmod", f"{top}/f3", 0o600)
        fs.call("rename", f"{top}/f4", f"{top}/deep/renamed")
        fs.call("unlink", f"{top}/f5")
        fs.call("mkdir", f"{top}/gone", 0o700)
        fs.call("rmdir", f"{top}/gone")
        fs.call("truncate", f"{top}/f2", 1)
        fs.call("sync_fs")
        fs.call("unmount")


def tree(cluster: RealCluster) -> dict[str, Any]:
    """By path: what a client sees of it, once the sums have come up to the root."""

    last: list[dict[str, Any]] = [{}]

    def settled() -> dict[str, Any] | None:
        found = listed(cluster)
        inodes = {entry["st_ino"] for entry in found.values()}
        whole = int(found["/"]["rentries"]) == len(inodes) and found == last[0]
        last[0] = found  # twice the same: nothing was on its way
        return found if whole else None

    return wait_for(settled, 40, "the sums are those of the tree", every=0.5) or {}


def listed(cluster: RealCluster) -> dict[str, Any]:
    """By path: what a client sees of it now."""
    found: dict[str, Any] = {}
    with mounted(cluster) as fs:
        _walk(fs, "/", found)
        fs.call("unmount")
    return found


def _walk(fs: CephFSPeer, path: str, found: dict[str, Any]) -> None:
    stat = fs.call("lstat", path)
    kept = {
        key: stat[key]
        for key in ("st_mode", "st_ino", "st_uid", "st_gid", "st_nlink", "st_size", "st_mtime",
                    "st_ctime")
    }  # fmt: skip
    found[path] = kept
    kind = stat["st_mode"] & 0o170000
    if kind == 0o040000:
        for name in SUMS:
            kept[name] = fs.call("getxattr", path, f"ceph.dir.{name}")
        for name in sorted(entry[0] for entry in fs.call("listing", path)):
            if name not in (".", ".."):
                _walk(fs, f"{path.rstrip('/')}/{name}", found)
    elif kind == 0o120000:
        kept["target"] = fs.call("readlink", path, 4096)
    else:
        for name in XATTRS:
            try:
                kept[name] = fs.call("getxattr", path, name)
            except CallError as e:
                kept[name] = e.errno
        handle = fs.call("open", path, "r")
        kept["data"] = fs.call("read", handle, 0, 4096)
        fs.call("close", handle)


def give(cluster: RealCluster, kind: str, name: str) -> Mds:
    """Start a daemon; it takes the rank that is free and becomes active."""
    mds = cluster.start_mds(kind, name)
    mds.wait_state("up:active", 40)
    return mds


def leave(mds: Mds) -> None:
    """End the daemon in good order; the monitors fail its rank at once."""
    mds.terminate()
    wait_for(
        lambda: mds.name not in mds.cluster.names() or not mds.running, 20, f"{mds.label} has left"
    )
    if mds.kind == "real":
        mds.kill()  # ceph-mds sometimes hangs in its own end
    mds.wait_exit(20)


def scrub(cluster: RealCluster, path: str = "/", *, timeout: float = 30) -> list[dict[str, Any]]:
    """`scrub start PATH recursive,repair` by whoever is active; the damage that it knows then."""
    status = cluster.ceph("tell", "mds.cephfs:0", "scrub", "start", path, "recursive,repair,force")
    assert status["return_code"] == 0

    def over() -> bool:
        now = cluster.ceph("tell", "mds.cephfs:0", "scrub", "status")
        return str(now["status"]) == "no active scrubs running"

    wait_for(over, timeout, f"scrub of {path} is over", every=0.3)
    found: list[dict[str, Any]] = cluster.ceph("tell", "mds.cephfs:0", "damage", "ls")
    return found


def cluster_log(cluster: RealCluster, since: int = 0) -> list[str]:
    """Complaints in the cluster log that speak of metadata."""
    text = str(cluster.ceph("log", "last", "500", json=False))
    return [
        line
        for line in text.splitlines()
        if ("Scrub error" in line or "Scrub repaired" in line or "bad backtrace" in line
            or "wrongly marked" in line or "corrupt" in line)
    ][since:]  # fmt: skip


def journal(cluster: RealCluster) -> dict[str, int]:
    """Events of the rank's journal by type, from Ceph's tools; it must be whole."""
    base = ["cephfs-journal-tool", "-c", str(cluster.conf), "--rank=cephfs:0"]
    inspected = cluster.run(*base, "journal", "inspect")
    assert "Overall journal integrity: OK" in inspected, inspected
    result = subprocess.run(
        [*base, "event", "get", "summary"],
        env=cluster.env, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    lines = (result.stdout + result.stderr).splitlines()
    assert "Errors: 0" in [line.strip() for line in lines], lines
    return {
        name.strip(): int(count)
        for name, _, count in (line.partition(":") for line in lines)
        if count.strip().isdigit() and name.strip() != "Errors"
    }


def metadata_pool(cluster: RealCluster) -> str:
    """The name of the file system's metadata pool."""
    (fs,) = cluster.ceph("fs", "ls")
    return str(fs["metadata_pool"])


def rados(cluster: RealCluster, *args: str) -> str:
    """`rados` on the metadata pool."""
    return cluster.run("rados", "-c", str(cluster.conf), "-p", metadata_pool(cluster), *args)


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Where two listings differ, for people."""
    lines = []
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one != other:
            lines.append(f"{path}: {json.dumps(one)} != {json.dumps(other)}")
    return lines
