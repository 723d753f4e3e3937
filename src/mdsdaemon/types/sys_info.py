"""What a booting daemon tells the monitor about its machine (`ceph mds metadata NAME`).

Format: ceph/ceph, src/common/util.cc, collect_sys_info (Pacific): keys and spellings.
"""

from __future__ import annotations

import os
from functools import cache

from mdsdaemon.version import CEPH_RELEASE, CEPH_VERSION_SHORT, ceph_version

_CONTAINER_VARIABLES = {
    "POD_NAME": "pod_name",
    "CONTAINER_NAME": "container_name",
    "CONTAINER_IMAGE": "container_image",
}
_DISTRO_KEYS = {
    "ID": "distro",
    "PRETTY_NAME": "distro_description",
    "VERSION_ID": "distro_version",
}
_CGROUP_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


@cache
def _machine() -> tuple[tuple[str, str], ...]:
    """What does not change while the process lives; read once."""
    uname = os.uname()
    info = {
        "ceph_version": ceph_version(),
        "ceph_version_short": CEPH_VERSION_SHORT,
        "ceph_release": CEPH_RELEASE,
        "os": uname.sysname,
        "kernel_version": uname.release,
        "kernel_description": uname.version,
        "hostname": uname.nodename,
        "arch": uname.machine,
    }
    in_container = False
    for variable, key in _CONTAINER_VARIABLES.items():
        if variable in os.environ:
            info[key] = os.environ[variable]
            in_container = True
    if in_container:
        if "NODE_NAME" in os.environ:
            info["container_hostname"] = info["hostname"]
            info["hostname"] = os.environ["NODE_NAME"]
        if "POD_NAMESPACE" in os.environ:
            info["pod_namespace"] = os.environ["POD_NAMESPACE"]
    for line in _lines("/proc/meminfo"):
        words = line.replace(":", " ").split()
        if len(words) == 3 and words[0] == "MemTotal":
            info["mem_total_kb"] = words[1]
        elif len(words) == 3 and words[0] == "SwapTotal":
            info["mem_swap_kb"] = words[1]
    for path in _CGROUP_LIMITS:
        limit = next(iter(_lines(path)), "").strip()
        if limit.isdigit() and 0 < int(limit) < 1 << 60:
            info["mem_cgroup_limit"] = limit
            break
    for line in _lines("/proc/cpuinfo"):
        key, colon, value = line.partition(":")
        if colon and key.strip() == "model name":
            info["cpu"] = value.strip()
            break
    for line in _lines("/etc/os-release"):
        key, equal, value = line.strip().partition("=")
        if equal and key in _DISTRO_KEYS:
            info[_DISTRO_KEYS[key]] = value.strip("\"'")
    return tuple(info.items())


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.readlines()
    except OSError:
        return []


def collect_sys_info(addrs: str) -> dict[str, str]:
    """The metadata of a daemon that listens at `addrs` (as Ceph prints address vectors)."""
    return {**dict(_machine()), "addr": addrs}
