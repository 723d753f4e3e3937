"""The object that says which inode a rank's journal is.

Format: ceph/ceph, src/mds/JournalPointer.cc, src/mds/mdstypes.h (MDS_INO_LOG_POINTER_OFFSET)
(Pacific)
"""

from __future__ import annotations

import errno

from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.journaler_extents import object_name
from mdsdaemon.clients.objecter import Objecter
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import DecodeError, decode, encode
from mdsdaemon.types.journal_store import JournalPointer

LOG_INO, LOG_BACKUP_INO, LOG_POINTER_INO, PURGE_QUEUE_INO = 0x200, 0x300, 0x400, 0x500
"""Inodes of rank 0's journal, of the one it is rewritten to, their pointer, and the purge queue."""


def pointer_name(rank: int) -> str:
    """The name of a rank's pointer object."""
    return object_name(LOG_POINTER_INO + rank, 0)


async def load_pointer(objecter: Objecter, pool: int, rank: int) -> JournalPointer:
    """Read it.

    Raises:
        JournalError: ENOENT: there is none; EINVAL: it does not decode; or what the OSD answered.
    """
    op, oid = ObjectOperation(), pointer_name(rank)
    data = op.read(0, 0)
    try:
        result = await objecter.operate(pool, oid, op)
        return decode(JournalPointer, result[data], partial=True)
    except RadosError as exc:
        raise JournalError(exc.errno or errno.EIO, f"journal pointer {oid}", str(exc)) from exc
    except DecodeError as exc:
        raise JournalError(errno.EINVAL, f"journal pointer {oid}", str(exc)) from exc


async def save_pointer(objecter: Objecter, pool: int, rank: int, pointer: JournalPointer) -> None:
    """Write it.

    Raises:
        RadosError: it may or may not be written.
    """
    if not (pointer.front or pointer.back):
        raise ValueError("a journal pointer points somewhere")
    op = ObjectOperation().write_full(encode(JournalPointer, pointer))
    await objecter.operate(pool, pointer_name(rank), op)
