"""setfilelock and getfilelock: advisory locks, kept in memory only.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_file_setlock, handle_client_file_readlock)
(Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.encoding import encode
from mdsdaemon.rank.server.traverse import existing
from mdsdaemon.types.client_locks import FileLock

if TYPE_CHECKING:
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server


def handle_setfilelock(server: Server, req: MDRequest) -> None:
    """Take, give back or stop waiting for a lock."""
    inode = existing(req)
    server.rank.locker.set_file_lock(req, inode, req.msg.args)
    server.respond(req)


def handle_getfilelock(server: Server, req: MDRequest) -> None:
    """Who has a lock that is in the way."""
    inode = existing(req)
    found = server.rank.locker.get_file_lock(req.client, inode, req.msg.args)
    server.respond(req, extra=encode(FileLock, found))
