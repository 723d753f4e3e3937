"""Finding a rank's journal: the pointer object, a rewrite that was cut short, the header, the end.

Behaviour: ceph/ceph, src/mds/MDLog.cc (_recovery_thread) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.clients.journaler import Journaler, JournalerOptions, JournalError
from mdsdaemon.clients.journaler_pointer import LOG_INO, load_pointer, save_pointer
from mdsdaemon.types.journal_store import JournalPointer

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore

MAGIC = "ceph fs volume v011"
"""CEPH_FS_ONDISK_MAGIC."""


def make_journaler(rank: RankCore, ino: int) -> Journaler:
    """A journaler for an inode in the metadata pool, as the configuration has it."""
    return Journaler(
        objecter=rank.objecter,
        pool=rank.metadata_pool,
        ino=ino,
        magic=MAGIC,
        host=rank.host,
        log=rank.log,
        options=JournalerOptions.from_config(rank.config),
    )


async def open_journal(rank: RankCore, *, follow: bool) -> Journaler:
    """Recover the journal that the pointer names. A missing pointer is written anew.

    Args:
        follow: another daemon writes the journal: change nothing.

    Raises:
        JournalError: what cannot be read, and why; EAGAIN: it is being rewritten (`follow`).
        RadosError: the pointer could not be written.
    """
    pool, whoami = rank.metadata_pool, rank.whoami
    try:
        pointer = await load_pointer(rank.objecter, pool, whoami)
    except JournalError as exc:
        if exc.errno != errno.ENOENT:
            raise
        pointer = JournalPointer(front=LOG_INO + whoami)
        if not follow:
            await save_pointer(rank.objecter, pool, whoami, pointer)
    if pointer.back:
        if follow:
            why = "it is being rewritten, and cannot be followed before that is done"
            raise JournalError(errno.EAGAIN, f"journal {pointer.front:#x}", why)
        await _erase_back(rank, make_journaler(rank, pointer.back), pointer)
    journal = make_journaler(rank, pointer.front)
    await journal.recover()
    rank.log.info(
        "journal %#x: format %d, from %d to %d",
        pointer.front,
        journal.stream_format,
        journal.expire_pos,
        journal.write_pos,
    )
    return journal


async def _erase_back(rank: RankCore, back: Journaler, pointer: JournalPointer) -> None:
    """A rewrite to `back` did not come to its end: what it wrote is of no use."""
    try:
        await back.recover()
        await back.erase()
    except JournalError as exc:
        if exc.errno != errno.ENOENT:
            raise
    pointer.back = 0
    await save_pointer(rank.objecter, rank.metadata_pool, rank.whoami, pointer)
