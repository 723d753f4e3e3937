"""Monitor commands from programs that do not run on Trio: an administrator's session in a thread.

    with Admin(conf) as admin:
        admin.command("fs ls")          # parsed JSON

It speaks to any cluster whose ceph.conf it is given, ours or a real one, and needs no Ceph package.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import trio

from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.cluster.errors import CommandFailedError, plain_cluster_errors
from mdsdaemon.config import load_config
from mdsdaemon.host import Host
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.types.entity import EntityName, PeerName

if TYPE_CHECKING:
    from types import TracebackType

    from mdsdaemon.config import Config

_LOG: Final = logging.getLogger("mdsdaemon.admin")


class Admin:
    """A session with the monitors, from construction until `close`. Used by one thread at a time.

    Args:
        conf: the cluster's ceph.conf.
        name: whose key to show; ceph.conf says where it is.
        timeout: seconds to connect, and for one command.

    Raises:
        FatalError: no session: the file, the key, or the monitors.
    """

    def __init__(
        self, conf: str | os.PathLike[str], name: str = "client.admin", *, timeout: float = 30.0
    ) -> None:
        self.conf = Path(conf)
        self._timeout = timeout
        self._config = load_config(["-n", name, "-c", str(conf)], {})
        self._token: trio.lowlevel.TrioToken | None = None
        self._monc: MonClient | None = None
        self._stop = trio.Event()
        started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._main, args=(started,), name=f"admin of {conf}", daemon=True
        )
        self._thread.start()
        failure = started.get()
        if failure is not None:
            self._thread.join()
            raise failure

    def command(self, prefix: str, /, **args: Any) -> Any:
        """Run a command; its output parsed where it is JSON, None where there is none.

        Raises CommandFailedError: a refusal, or no answer in time (ETIMEDOUT).
        """
        r, text, out = self.raw_command({"prefix": prefix, "format": "json", **args})
        if r < 0:
            raise CommandFailedError(prefix, -r, text)
        if not out.strip():
            return None
        try:
            return json.loads(out)
        except ValueError:
            return out.decode(errors="replace")

    def raw_command(self, cmd: dict[str, Any], inbuf: bytes = b"") -> tuple[int, str, bytes]:
        """(0 or -errno, text, output) of a command."""
        return trio.from_thread.run(self._command, cmd, inbuf, trio_token=self._token)

    def close(self) -> None:
        """End the session."""
        if self._thread.is_alive():
            try:
                trio.from_thread.run_sync(self._stop.set, trio_token=self._token)
            except trio.RunFinishedError:
                pass
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _command(self, cmd: dict[str, Any], inbuf: bytes) -> tuple[int, str, bytes]:
        assert self._monc is not None
        with trio.move_on_after(self._timeout):
            reply = await self._monc.mon_command(cmd, inbuf)
            return reply.r, reply.outs, reply.outbl
        return -errno.ETIMEDOUT, f"no answer within {self._timeout:g} s", b""

    def _main(self, started: queue.SimpleQueue[BaseException | None]) -> None:
        try:
            trio.run(self._run, self._config, started)
        except BaseException as e:
            started.put(e)

    async def _run(self, config: Config, started: queue.SimpleQueue[BaseException | None]) -> None:
        with plain_cluster_errors():
            entity, host = EntityName.parse(config.name), Host.system()
            messenger = Messenger(
                PeerName(entity.type, -1),
                nonce=host.random_u32(),
                host=host,
                transport=SocketTransport(),
                log=_LOG,
            )
            messenger.set_default_policy(Policy.lossy_client())
            self._monc = MonClient(
                name=entity,
                config=config,
                messenger=messenger,
                host=host,
                monmap=await build_initial_monmap(config),
                log=_LOG,
            )
            self._monc.init()
            async with trio.open_nursery() as nursery:
                await nursery.start(messenger.run)
                await nursery.start(self._monc.run)
                await self._monc.authenticate(self._timeout)
                self._token = trio.lowlevel.current_trio_token()
                started.put(None)
                await self._stop.wait()
                nursery.cancel_scope.cancel()
