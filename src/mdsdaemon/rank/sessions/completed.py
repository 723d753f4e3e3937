"""What is remembered of clients' requests and flushes that are done, until they have heard of it.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_request), src/mds/Locker.cc
(handle_client_caps) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.session import Session


def forget_requests(rank: RankCore, session: Session, oldest_tid: int) -> None:
    """The client has heard of its requests before `oldest_tid`."""
    if not session.info.completed_requests:
        session.last_trim_requests_tid = oldest_tid
        return
    trimmed = session.trim_completed_requests(oldest_tid)
    session.num_trim_requests_warnings = _warnings(
        rank,
        session,
        trimmed,
        len(session.info.completed_requests),
        session.num_trim_requests_warnings,
        "requests",
        f"oldest_client_tid ({oldest_tid})",
    )


def forget_flushes(rank: RankCore, session: Session, oldest_tid: int) -> None:
    """The client has heard of its flushes before `oldest_tid`."""
    trimmed = session.trim_completed_flushes(oldest_tid)
    session.num_trim_flushes_warnings = _warnings(
        rank,
        session,
        trimmed,
        len(session.info.completed_flushes),
        session.num_trim_flushes_warnings,
        "flushes",
        f"oldest_flush_tid ({oldest_tid})",
    )


def _warnings(
    rank: RankCore,
    session: Session,
    trimmed: bool,
    held: int,
    warnings: int,
    what: str,
    tid: str,
) -> int:
    """How often the cluster log was told that too many are held, after this."""
    most = rank.config.get_int(f"mds_max_completed_{what}")
    if trimmed:
        rank.mdlog.segment.sessions.add(session.client)
        return 0 if held * 2 < most else warnings
    if held < most << warnings:
        return warnings
    rank.services.clog.warn(
        f"client.{session.client} does not advance its {tid}, "
        f"{held} completed {what} recorded in session"
    )
    return warnings + 1
