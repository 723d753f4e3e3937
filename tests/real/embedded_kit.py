"""A monitor of ours (and an object store, once there is one) in a process, for stock Ceph tools.

    python tests/real/embedded_kit.py /tmp/kit [--data] [--no-osd] [-o NAME=VALUE …]

writes /tmp/kit/ceph.conf and /tmp/kit/keyring (client.admin, mds.a … mds.c), says where, and serves
until it is killed. With --data the state lies in /tmp/kit/cluster.sqlite and is taken up again.
"""

from __future__ import annotations

import argparse
import logging
import sys
import uuid
from pathlib import Path

import trio

from mdsdaemon.cephx.keyring import KeyRing
from mdsdaemon.config import Config
from mdsdaemon.embedded.monitor.core import Monitor
from mdsdaemon.embedded.storage import Committer, MemoryStorage, SqliteStorage, Storage
from mdsdaemon.host import Host
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.types.entity import CLIENT, MDS, EntityName

_CONF = """\
[global]
fsid = {fsid}
mon host = {addrs}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {root}/keyring
run dir = {root}
log file = {root}/$name.log
admin socket = {root}/$name.asok
mds data = {root}/$name
mds beacon interval = 1
mds beacon grace = 5
[client]
log file =
admin socket =
"""
_MDS_CAPS = {
    "mds": "allow",
    "mgr": "allow profile mds",
    "mon": "allow profile mds",
    "osd": "allow rw tag cephfs *=*",
}


def write_files(root: Path, monitor: Monitor) -> None:
    """ceph.conf and keyring of the running monitor."""
    with monitor.transactions.transaction():
        for name in "abc":
            monitor.auth.get_or_create(EntityName(MDS, name), _MDS_CAPS)
    keys = monitor.auth.keys.entities
    wanted = [EntityName(CLIENT, "admin"), *(EntityName(MDS, name) for name in "abc")]
    ring = KeyRing({name: keys[name] for name in wanted})
    (root / "keyring").write_text(ring.text())
    conf = _CONF.format(fsid=monitor.fsid, addrs=monitor.addrs, root=root)
    (root / "ceph.conf").write_text(conf)


async def serve(root: Path, storage: Storage, options: dict[str, str], *, osd: bool) -> None:
    """Run until cancelled."""
    host = Host.system()
    committer = Committer(storage)
    monitor = Monitor(
        config=Config("mon.a", options),
        host=host,
        transport=SocketTransport(),
        committer=committer,
        fsid=uuid.uuid4(),
        keyring=KeyRing(),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(committer.run)
        await nursery.start(monitor.run)
        if osd:
            from mdsdaemon.embedded.osd import EmbeddedOSD

            store = EmbeddedOSD(  # type: ignore[call-arg]
                monitor=monitor,
                config=Config("osd.0", options),
                host=host,
                transport=SocketTransport(),
                committer=committer,
            )
            await nursery.start(store.run)
        write_files(root, monitor)
        sys.stdout.write(f"export CEPH_CONF={root}/ceph.conf\n")
        sys.stdout.flush()
        await trio.sleep_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--data", action="store_true")
    parser.add_argument("--no-osd", action="store_true")
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("-o", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG if args.debug else logging.INFO)
    args.root.mkdir(parents=True, exist_ok=True)
    storage = SqliteStorage(args.root / "cluster.sqlite") if args.data else MemoryStorage()
    options = dict(option.split("=", 1) for option in args.o)
    trio.run(lambda: serve(args.root, storage, options, osd=not args.no_osd))


if __name__ == "__main__":
    main()
