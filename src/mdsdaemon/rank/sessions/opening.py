"""Opening a session: who may, and with what.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_session, infer_supported_features) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_session import BLOCKLISTED, SESSION_BLOCKLISTED, MClientSession
from mdsdaemon.rank.session import SessionState
from mdsdaemon.types.client_ops import SessionOp
from mdsdaemon.types.feature_bitset import FeatureBitset
from mdsdaemon.types.features import FS_CHANGE_ATTR, FS_FILE_LAYOUT_V2, NEW_OSDOP_ENCODING, has
from mdsdaemon.types.session import ClientMetadata

if TYPE_CHECKING:
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.sessions.sessions import Sessions

JEWEL, KRAKEN, LUMINOUS, MIMIC = 5, 6, 7, 8
MAX_METADATA = 64 << 10
"""Bytes of what a client says of itself; it is in the journal, and in every dump of sessions."""


def open_session(sessions: Sessions, session: Session, msg: MClientSession) -> None:
    """A client asks for a session: journal its opening, or tell why not."""
    rank = sessions.rank
    if session.state not in (SessionState.CLOSED, SessionState.CLOSING) or sessions.terminating:
        rank.log.debug("%s is %s, dropping open", session, session.state.name)
        return
    if rank.state == State.STOPPING:
        rank.log.debug("mds is stopping, dropping open req")
        return
    session.info.client_metadata = ClientMetadata(
        dict(msg.metadata), msg.supported_features, msg.metric_spec
    )
    why, warning = _refusal(sessions, session)
    if not why:
        sessions.begin_open(session)
        return
    flags = SESSION_BLOCKLISTED if why == BLOCKLISTED else 0
    reject = MClientSession(op=SessionOp.REJECT, flags=flags)
    if session.has_feature(MIMIC):
        reject.metadata["error_string"] = why
    session.send(reject)
    rank.log.info('New client session: addr="%s",status="REJECTED",error="%s"', session.addr, why)
    if warning:
        rank.services.clog.warn(warning)
    if session.is_closed():
        session.clear()


def _refusal(sessions: Sessions, session: Session) -> tuple[str, str]:
    """(what the client is told, what the cluster log is told) if it gets none; else ("", "")."""
    rank = sessions.rank
    inst = session.info.inst
    metadata = session.info.client_metadata
    if rank.objecter.osd_map.is_blocklisted(session.addrs):
        return BLOCKLISTED, ""
    if not metadata.features.mask:
        infer_supported_features(session)
    size = sum(len(key) + len(value) for key, value in metadata.kv_map.items())
    if size > MAX_METADATA:
        return "too much metadata", f"client session ({inst}) has {size} bytes of metadata"
    missing = missing_features(sessions, session)
    if missing.mask:
        return (
            f"missing required features '{missing}'",
            f"client session ({inst}) lacks required features {missing}; client supports"
            f" {metadata.features}",
        )
    root = metadata.kv_map.get("root")
    if root is not None:
        denied = ""
        if not root.startswith("/"):
            denied = f"invalue root '{root}'"
        elif not session.auth_caps.path_capable(root[1:]):
            denied = f"non-allowable root '{root}'"
        if denied:
            return denied, f"client session with {denied} denied ({inst})"
    uuid = metadata.kv_map.get("uuid")
    if uuid is not None and sessions.reclaim.find_by_uuid(uuid, session) is not None:
        return (
            "duplicated session uuid",
            f"client session with duplicated session uuid '{uuid}' denied ({inst})",
        )
    return "", ""


def missing_features(sessions: Sessions, session: Session) -> FeatureBitset:
    """What the file system requires of clients and this one has not."""
    required = sessions.rank.mdsmap.required_client_features
    return FeatureBitset.of(required.missing_from(session.info.client_metadata.features))


def infer_supported_features(session: Session) -> None:
    """The features of a client that is too old to tell them."""
    con = session.connection
    features = 0 if con is None else con.features
    metadata = session.info.client_metadata
    newest = -1
    version = metadata.kv_map.get("ceph_version")
    if version is not None:
        if version.startswith("ceph version 12."):
            newest = LUMINOUS
        elif has(features, FS_CHANGE_ATTR):
            newest = KRAKEN
    elif "kernel_version" in metadata.kv_map and has(features, NEW_OSDOP_ENCODING):
        newest = LUMINOUS
    if newest < 0 and has(features, FS_FILE_LAYOUT_V2):
        newest = JEWEL
    if newest >= 0:
        metadata.features = FeatureBitset.of(range(newest + 1))
