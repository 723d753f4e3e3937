"""Keyrings of the test clusters, written without calling ceph-authtool once per name."""

import base64
import os
import struct
import time
from collections.abc import Iterable
from pathlib import Path

_ALL = {"mon": "allow *", "osd": "allow *", "mds": "allow *", "mgr": "allow *"}
_MDS = {
    "mon": "allow profile mds",
    "osd": "allow rw tag cephfs *=*",
    "mds": "allow",
    "mgr": "allow profile mds",
}

MDS_NAMES = [*"abcdefgh", "real", "0digit", *(f"s{n}" for n in range(200))]

ENTITIES: dict[str, dict[str, str]] = {
    "mon.": {"mon": "allow *"},
    "client.admin": _ALL,
    # Those of the permission tests: only the first may `tell` an MDS (it takes a grant with `*`).
    "client.alldaemons": {"mon": "allow r", "mds": "allow *"},
    "client.readwrite": {"mon": "allow r", "mds": "allow rw"},
    "client.legacy": {"mon": "allow r", "mds": "allow"},
    "client.onepath": {"mon": "allow r", "mds": "allow * path=/home"},
    "client.badcaps": {"mon": "allow r", "mds": "permit everything"},
    "client.nomds": {"mon": "allow r"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *", "mgr": "allow profile osd"},
    # An MDS whose key may not send beacons.
    "mds.nobeacon": {"mon": "allow r"},
    **{f"mds.{name}": _MDS for name in MDS_NAMES},
}


def new_secret() -> str:
    """A fresh AES key, base64. Format: u16 type, utime created, u16 length, bytes (CryptoKey)."""
    now = time.time_ns()
    head = struct.pack("<HIIH", 1, now // 10**9, now % 10**9, 16)
    return base64.b64encode(head + os.urandom(16)).decode()


def write_keyring(path: Path, names: Iterable[str] = ENTITIES, *, caps: bool = True) -> None:
    """A new key for each of ``names`` into the file at ``path``, with its capabilities."""
    lines: list[str] = []
    for name in names:
        lines += [f"[{name}]", f"\tkey = {new_secret()}"]
        if caps:
            lines += [f'\tcaps {service} = "{cap}"' for service, cap in ENTITIES[name].items()]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
