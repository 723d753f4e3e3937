"""Keys and caps of all entities, who gets in, and the renewal of tickets on open sessions.

Behaviour: ceph/ceph, src/mon/AuthMonitor.cc (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mdsdaemon.cephx.auth import AuthCapsInfo, EntityAuth, RotatingSecrets
from mdsdaemon.cephx.plug import AuthError
from mdsdaemon.cephx.registry import TRACKED_OPTIONS, AuthRegistry
from mdsdaemon.embedded.key_server import KeyServer
from mdsdaemon.embedded.key_server_auth import GlobalId, MonAuthenticator
from mdsdaemon.embedded.monitor import auth_caps
from mdsdaemon.embedded.monitor.auth_commands import AuthCommands
from mdsdaemon.embedded.monitor.mon_caps import CapsError, MonCaps
from mdsdaemon.embedded.monitor.records import pack, unpack, unpack_plain
from mdsdaemon.embedded.monitor.service import (
    HEALTH_ERR,
    HEALTH_WARN,
    HealthCheck,
    Service,
    handles,
)
from mdsdaemon.encoding import DecodeError, Str, encode
from mdsdaemon.messages.auth import MAuth, MAuthReply
from mdsdaemon.types.entity import CLIENT, MON, EntityName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession

MIN_GLOBAL_ID: Final = 0x1000

_BOOTSTRAP: Final = ("osd", "rgw", "mds", "mgr", "rbd", "rbd-mirror")


class AuthMonitor(Service):
    """See the module.

    Attributes:
        keys: entities and secrets; change entities by `put_entity` and `remove_entity`.
        authenticator: the messenger's.
    """

    name: ClassVar[str] = "auth"

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.keys = KeyServer(mon.host, mon.config)
        self.authenticator = MonAuthenticator(
            self.keys, self._registry(), self.assign_global_id, is_ready=False
        )
        self._last_global_id = 0
        self._max_global_id = 0
        self._bad_caps_found: list[HealthCheck] | None = None
        self._refresh(frozenset())
        mon.config.observe(
            (*TRACKED_OPTIONS, "auth_allow_insecure_global_id_reclaim"), self._refresh
        )

    def command_rooms(self) -> Iterable[object]:
        return (AuthCommands(self),)

    # -- state ------------------------------------------------------------------------------

    def create_initial(self) -> None:
        for name, auth in self.mon.keyring.keys.items():
            if name.type != MON:
                self.put_entity(name, auth)
        admin = EntityName(CLIENT, "admin")
        self.get_or_create(admin, dict.fromkeys(("mon", "osd", "mds", "mgr"), "allow *"))
        for kind in _BOOTSTRAP:
            name = EntityName(CLIENT, f"bootstrap-{kind}")
            self.get_or_create(name, {"mon": f"allow profile bootstrap-{kind}"})
        self._last_global_id = self._max_global_id = MIN_GLOBAL_ID
        self._reserve_global_ids()

    def load(self, records: dict[str, bytes]) -> None:
        self.keys.entities.clear()
        self._bad_caps_found = None
        for key, value in records.items():
            kind, _, rest = key.partition("/")
            if kind == "entity":
                type_text, _, ident = rest.partition(".")
                self.keys.entities[EntityName(int(type_text), ident)] = unpack(EntityAuth, value)
            elif kind == "rotating":
                found = unpack(RotatingSecrets, value)
                secrets = self.keys.rotating[int(rest)]
                secrets.secrets, secrets.max_ver = found.secrets, found.max_ver
            elif kind == "max_global_id":
                self._last_global_id = self._max_global_id = unpack_plain(value)

    def started(self) -> None:
        self._rotate()
        self.authenticator.is_ready = True

    def snapshot(self) -> Any:
        """The entities. Secrets and numbers that peers hold by now go on through a restore."""
        return {key: value for key, value in self.records() if key.startswith("entity/")}

    def restore(self, state: Any) -> None:
        now = {key: value for key, value in self.records() if key.startswith("entity/")}
        for key in now.keys() - state.keys():
            self.put(key, None)
        for key, value in state.items():
            if now.get(key) != value:
                self.put(key, value)
        self.load(dict(state))

    def tick(self, now: float) -> None:
        self._rotate()

    def _rotate(self) -> None:
        for service in self.keys.rotate():
            self.put(f"rotating/{service}", pack(self.keys.rotating[service]))

    def _registry(self) -> AuthRegistry:
        return AuthRegistry.from_config(self.mon.config.get_str, MON)

    def _refresh(self, _changed: frozenset[str]) -> None:
        self.authenticator.registry = self._registry()
        self.authenticator.allow_insecure_reclaim = self.mon.config.get_bool(
            "auth_allow_insecure_global_id_reclaim"
        )

    # -- entities ---------------------------------------------------------------------------

    def put_entity(self, name: EntityName, auth: EntityAuth) -> None:
        """Add or change an entity."""
        self.keys.entities[name] = auth
        self._bad_caps_found = None
        self.put(_key(name), pack(auth))

    def remove_entity(self, name: EntityName) -> bool:
        """False: there is none. Its sessions go on; it gets no more tickets."""
        if self.keys.entities.pop(name, None) is None:
            return False
        self._bad_caps_found = None
        self.put(_key(name), None)
        return True

    def get_or_create(self, name: EntityName, caps: Mapping[str, str]) -> EntityAuth:
        """The entity as it is, or a new one with these caps (checked by the caller)."""
        auth = self.keys.get(name)
        if auth is None:
            auth = EntityAuth(key=self.keys.create_key(), caps=encode_caps(caps))
            self.put_entity(name, auth)
        return auth

    def mon_caps(self, name: EntityName, caps: AuthCapsInfo) -> MonCaps:
        """What the entity may do at the monitor; nothing with caps that do not parse."""
        if caps.allow_all:
            return MonCaps.allow_all()
        auth = self.keys.get(name)
        try:
            return MonCaps.parse(auth.caps_text("mon")) if auth is not None else MonCaps()
        except (CapsError, DecodeError) as error:
            self.mon.logger.warning("the mon caps of %s: %s", name, error)
            return MonCaps()

    # -- global ids -------------------------------------------------------------------------

    def assign_global_id(self) -> int:
        """A number that no session of this cluster has had."""
        self._last_global_id += 1
        room = self._max_global_id - self._last_global_id
        if room <= self.mon.config.get_int("mon_globalid_prealloc") // 2:
            self._reserve_global_ids()
        return self._last_global_id

    def _reserve_global_ids(self) -> None:
        """Write down that numbers up to a new limit may be given away, before they are."""
        self._max_global_id += max(self.mon.config.get_int("mon_globalid_prealloc"), 100)
        self.put("max_global_id", pack(self._max_global_id))

    # -- MAuth ------------------------------------------------------------------------------

    @handles(MAuth)
    def handle_auth(self, session: MonSession, msg: MAuth) -> None:
        """Renewed tickets, or the rotating secrets of a daemon."""
        handler = session.auth
        result, payload = -errno.EINVAL, b""
        if handler is not None:
            try:
                payload = handler.handle_request(msg.auth_payload)
                result = 0
            except AuthError as error:
                result = -error.errno
                self.mon.logger.info("MAuth of %s: %s", session.entity_name, error)
        reply = MAuthReply(msg.protocol, result, session.global_id, payload)
        reply.tid = msg.tid
        session.send(reply)

    def dump_info(self) -> dict[str, Any]:
        count = len(self.keys.entities)
        return {"auth": {"first_committed": 1, "last_committed": 1, "num_secrets": count}}

    # -- health -----------------------------------------------------------------------------

    def health(self) -> list[HealthCheck]:
        return [*self._bad_caps(), *self._insecure_reclaim()]

    def _bad_caps(self) -> list[HealthCheck]:
        if self._bad_caps_found is None:
            self._bad_caps_found = self._find_bad_caps()
        return self._bad_caps_found

    def _find_bad_caps(self) -> list[HealthCheck]:
        detail: list[str] = []
        bad: set[EntityName] = set()
        for name, auth in sorted(self.keys.entities.items()):
            for service in sorted(auth.caps):
                try:
                    auth_caps.validate(service, auth.caps_text(service))
                except (CapsError, DecodeError) as error:
                    bad.add(name)
                    detail.append(f"{name} {error}")
        if not bad:
            return []
        text = f"{len(bad)} auth entities have invalid capabilities"
        return [HealthCheck("AUTH_BAD_CAPS", HEALTH_ERR, text, detail, len(bad))]

    def _insecure_reclaim(self) -> list[HealthCheck]:
        config = self.mon.config
        checks: list[HealthCheck] = []
        insecure = [
            session
            for session in self.mon.sessions
            if session.auth is not None and session.auth.status == GlobalId.RECLAIM_INSECURE
        ]
        if insecure and config.get_bool("mon_warn_on_insecure_global_id_reclaim"):
            checks.append(
                HealthCheck(
                    "AUTH_INSECURE_GLOBAL_ID_RECLAIM",
                    HEALTH_WARN,
                    "client is using insecure global_id reclaim",
                    [
                        f"{s.entity_name} at {s.addrs} is using insecure global_id reclaim"
                        for s in insecure
                    ],
                    len(insecure),
                )
            )
        if self.authenticator.allow_insecure_reclaim and config.get_bool(
            "mon_warn_on_insecure_global_id_reclaim_allowed"
        ):
            checks.append(
                HealthCheck(
                    "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED",
                    HEALTH_WARN,
                    "mon is allowing insecure global_id reclaim",
                    [f"mon.{self.mon.name} has auth_allow_insecure_global_id_reclaim set to true"],
                    1,
                )
            )
        return checks


def encode_caps(caps: Mapping[str, str]) -> dict[str, bytes]:
    """Caps texts as entities and tickets hold them."""
    return {service: encode(Str, text) for service, text in caps.items()}


def _key(name: EntityName) -> str:
    return f"entity/{name.type}.{name.id}"
