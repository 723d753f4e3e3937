"""The monitor client: what a daemon does with its monitor session.

    monc = MonClient(name=…, config=…, messenger=…, host=…, monmap=await build_initial_monmap(…))
    monc.init()
    await nursery.start(messenger.run, binds)
    await nursery.start(monc.run)
    await monc.authenticate()
    monc.sub_want("mdsmap", 0)
    monc.renew_subs()

Source of the behaviour: ceph/ceph, src/mon/MonClient.cc (Pacific)
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence

import trio

from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.clients.mon_commands import CommandReply
from mdsdaemon.clients.mon_session import MonSession


class MonClient(MonSession):
    """See the module."""

    async def authenticate(self, timeout: float = 0.0) -> None:  # noqa: ASYNC109 -- Ceph's meaning of 0
        """Open a session. `timeout` in seconds; 0 waits for ever.

        Raises:
            MonClientError: every monitor that answered refused us (its errno), the cluster is
                not the configured one (EINVAL), or no session came in time (ETIMEDOUT).
        """
        if self.is_authenticated:
            return
        self.auth_error = None
        self._sub.want("monmap", self.monmap.epoch + 1 if self.monmap.epoch else 0)
        self._sub.want("config", 0)
        if not self._opened():
            self.reopen_session()
        with trio.move_on_after(timeout if timeout > 0 else float("inf")):
            await self._wait_for_session()
            return
        raise MonClientError(
            errno.ETIMEDOUT,
            f"no monitor session within {timeout:g} s ({self.monmap})",
            "check that the monitors run and that mon_host has their msgr2 addresses",
        )

    async def _wait_for_session(self) -> None:
        while not self.is_authenticated:
            if self._stopped:
                raise MonClientError(errno.ESHUTDOWN, "the monitor client is stopped")
            if self.auth_error is not None:
                raise self.auth_error
            await self._auth_changed.park()

    async def wait_auth_rotating(self, timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until the rotating secrets are here and fresh; False when `timeout` s passed."""
        with trio.move_on_after(timeout):
            while self._renewal.need_rotating(self._host.wall()):
                await self._auth_changed.park()
        return not self._renewal.need_rotating(self._host.wall())

    # -- subscriptions -------------------------------------------------------------------

    def sub_want(self, what: str, start: int, flags: int = 0) -> bool:
        """Subscribe to a map from epoch `start` on; sent by `renew_subs`."""
        return self._sub.want(what, start, flags)

    def sub_want_increment(self, what: str, start: int, flags: int = 0) -> bool:
        """As `sub_want`, but never back to an earlier epoch."""
        return self._sub.inc_want(what, start, flags)

    def sub_got(self, what: str, epoch: int) -> None:
        """Epoch `epoch` of a map arrived: a new session asks for the one after it."""
        self._sub.got(what, epoch)

    def sub_unwant(self, what: str) -> None:
        """Do not subscribe to a map in later sessions."""
        self._sub.unwant(what)

    # -- requests --------------------------------------------------------------------------

    async def mon_command(
        self,
        cmd: Mapping[str, object] | Sequence[str],
        inbl: bytes = b"",
        *,
        target: int | str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- default from an option
    ) -> CommandReply:
        """Have a monitor execute a command, such as {"prefix": "status", "format": "json"}.

        It is sent again when the session is lost before the answer, so it should bear that.

        Args:
            target: rank or name of the monitor that must execute it.
            timeout: seconds; default rados_mon_op_timeout (0: for ever).

        Raises:
            MonClientError: no answer in time (ETIMEDOUT), no such target (ENOENT), the target
                does not answer (ENXIO), the client stops (ESHUTDOWN).
        """
        words = [json.dumps(cmd)] if isinstance(cmd, Mapping) else list(cmd)
        seconds = timeout
        if seconds is None:
            seconds = self._config.get_float("rados_mon_op_timeout") or float("inf")
        with trio.move_on_after(seconds):
            return await self._requests.command(words, inbl, target)
        raise MonClientError(errno.ETIMEDOUT, f"no answer from a monitor within {seconds:g} s")

    async def get_version(self, what: str) -> tuple[int, int]:
        """(newest, oldest) epoch that the monitors have of a map, such as "osdmap"."""
        return await self._requests.version(what)
