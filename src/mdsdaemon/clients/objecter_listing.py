"""The objects of a pool, group by group.

Format: ceph/ceph, src/osdc/Objecter.cc (enumerate_objects), src/osd/PrimaryLogPG.cc (PGNLS)
(Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator

from mdsdaemon.clients.objecter import Objecter
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import DecodeError, decode, encode
from mdsdaemon.types.object_list import ListObject, PGNLSResponse
from mdsdaemon.types.osd import PG, HObject
from mdsdaemon.types.osd_op import PGLS_ARGS, Flag, Op, OSDOp

ALL_NAMESPACES = "\x01"


async def list_objects(
    objecter: Objecter, pool: int, *, namespace: str = "", at_once: int = 1000
) -> AsyncIterator[ListObject]:
    """Every object of a pool in a namespace (ALL_NAMESPACES: in all).

    What is made or removed meanwhile may be listed or not; all else is listed once.

    Args:
        at_once: how many an OSD is asked for.

    Raises:
        RadosError: as `Objecter.operate` does.
    """
    # the least object, though not of Ceph's "no pool": the OSD compares only within its group
    cursor = HObject(pool=pool)
    while not cursor.max:
        args = PGLS_ARGS.pack(at_once, objecter.epoch)
        op = ObjectOperation()
        op.add(OSDOp(Op.PGNLS, 0, args, encode(HObject, cursor)))
        result = await objecter.operate(
            pool,
            "",
            op,
            namespace=namespace,
            flags=Flag.PGOP | Flag.IGNORE_OVERLAY,
            pgid=PG(pool, cursor.hash),
        )
        try:
            answer = decode(PGNLSResponse, result.ops[0].outdata)
        except (DecodeError, IndexError) as exc:
            raise RadosError(errno.EIO, f"pool {pool}", "pgnls", str(exc)) from exc
        for entry in answer.entries:
            yield entry
        cursor = answer.handle
