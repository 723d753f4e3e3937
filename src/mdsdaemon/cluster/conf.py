"""The files that clients read: ceph.conf and keyrings."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

from mdsdaemon.cephx.auth import EntityAuth
from mdsdaemon.cephx.keyring import KeyRing
from mdsdaemon.types.entity import EntityAddrVec, EntityName

_CONF = """\
# Written by mdsdaemon at each start of this cluster; changes are lost.
[global]
fsid = {fsid}
mon host = {mon_host}
keyring = {folder}/keyring
run dir = {folder}/run
crash dir = {folder}/crash
log file = {folder}/log/$cluster-$name.log
admin socket = {folder}/run/$cluster-$name.asok
osd pool default size = {pool_size}
osd pool default min size = 1
{settings}
[mds]
mds data = {folder}/mds.$id
keyring = {folder}/mds.$id/keyring
[client]
log file =
admin socket =
"""


def ceph_conf(
    folder: Path,
    fsid: uuid.UUID,
    mon_addrs: EntityAddrVec,
    pool_size: int,
    settings: Mapping[str, str],
) -> str:
    """The text of ceph.conf: what a client or a daemon needs, and nothing outside of `folder`."""
    return _CONF.format(
        fsid=fsid,
        mon_host=f"[{','.join(str(addr) for addr in mon_addrs.addrs)}]",
        folder=folder,
        pool_size=pool_size,
        settings="".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items()),
    )


def _quoted(value: str) -> str:
    """A value as ceph.conf takes it."""
    if not any(mark in value for mark in "#;\"'\\") and value == value.strip():
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def keyring_text(name: str, auth: EntityAuth) -> str:
    """A keyring with one key, for clients: without caps, which only the monitor's entry has."""
    return KeyRing({EntityName.parse(name): EntityAuth(key=auth.key)}).text()
