"""A real Ceph cluster on loopback, in the foreground, for tests and measurements.

One or three monitors, and optionally a manager, an object store daemon and metadata servers. All
data lies in one folder of its own and is deleted at the end; every daemon is a child process.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from tests.real.admin import SYSTEM_PYTHON, AdminConnection, CommandError, Reply, asok
from tests.real.daemons import Daemon, wait_for
from tests.real.keys import ENTITIES, write_keyring
from tests.real.ports import PortHold

NEEDED = ("ceph-mon", "ceph-osd", "ceph-mds", "ceph-mgr", "monmaptool", "ceph", "setpriv")

_CONF = """\
[global]
fsid = {fsid}
mon host = {mon_host}
mon initial members = {mon_names}
keyring = {root}/keyring
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
ms cluster mode = {mode}
ms service mode = {mode}
ms client mode = {mode}
ms mon cluster mode = {mode}
ms mon service mode = {mode}
ms mon client mode = {mode}
public addr = {host}
cluster addr = {host}
run dir = {root}/run
log file = {root}/log/$name.log
admin socket = {root}/run/$name.asok
mon data = {root}/$name
osd data = {root}/$name
mgr data = {root}/$name
mds data = {root}/$name
osd objectstore = memstore
memstore device bytes = 4294967296
osd pool default size = 1
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd pool default pg num = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail warn = 1
mon data avail crit = 1
"""

# The tools that the tests call leave no logs or sockets among the daemons'.
_CLIENT = """\
[client]
log file =
admin socket =
"""


class PortTakenError(Exception):
    """A monitor found its port taken; the start is tried again with others."""


def missing_programs() -> list[str]:
    """Which of Ceph's programs and Python bindings this machine lacks."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    bindings = [SYSTEM_PYTHON, "-c", "import rados, cephfs"]
    try:
        subprocess.run(bindings, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        missing.append(f"the modules rados and cephfs of {SYSTEM_PYTHON}")
    return missing


class Mds(Daemon):
    """A metadata server started by a test: ``kind`` is "ours" or "real" (ceph-mds)."""

    def __init__(
        self,
        cluster: "RealCluster",
        kind: str,
        name: str,
        label: str,
        argv: list[str],
        env: Mapping[str, str],
    ) -> None:
        self.cluster, self.kind, self.name = cluster, kind, name
        self.asok_path = cluster.root / "run" / f"mds.{label}.asok"
        log = cluster.root / "log" / f"mds.{label}.log"
        stderr = cluster.root / "log" / f"mds.{label}.err"
        super().__init__(f"mds.{label} ({kind})", argv, {**cluster.env, **env}, stderr, log)

    def asok(self, prefix: str, /, **arguments: Any) -> Any:
        """One command on the admin socket, its output as parsed JSON."""
        return json.loads(asok(self.asok_path, prefix, format="json", **arguments))

    def gid(self) -> int:
        return int(self.asok("status")["id"])

    def wait_state(
        self, state: str, timeout: float = 10, *, not_gid: int = 0, every: float = 0.02
    ) -> dict[str, Any]:
        """The map's entry of this name once it is in ``state`` (and, if asked, of another gid).

        The monitor is asked ``every`` so many seconds.
        """

        def entry() -> dict[str, Any] | None:
            assert self.running, f"{self.label} ended with status {self.proc.returncode}"
            for info in self.cluster.mds_infos():
                if info["name"] == self.name and info["gid"] != not_gid and info["state"] == state:
                    return info
            return None

        return wait_for(entry, timeout, f"{self.label} is {state}", every=every) or {}

    def wait_standby(self, timeout: float = 10, *, not_gid: int = 0) -> dict[str, Any]:
        return self.wait_state("up:standby", timeout, not_gid=not_gid)


class RealCluster:
    """A running cluster between ``start()`` and ``stop()``, also as a context manager.

    ``mode`` is the connection mode of every connection, "crc" or "secure"; ``host`` the address
    of all daemons (in brackets for IPv6); ``options`` are lines for ceph.conf's [global] section
    that go before the defaults above; ``python`` is the interpreter of our daemons.
    """

    def __init__(
        self,
        *,
        mons: int = 1,
        mode: str = "crc",
        host: str = "127.0.0.1",
        osd: bool = False,
        mgr: bool = False,
        options: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self.python = python
        self.mon_names = list("abc")[:mons]
        self.mode, self.host = mode, host
        self._with_osd, self._with_mgr = osd, mgr
        self._options = dict(options or {})
        self.fsid = str(uuid.uuid4())
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("CEPH_")}
        self.daemons: dict[str, Daemon] = {}
        self.mdss: list[Mds] = []
        self._ports: list[PortHold] = []
        self._admin: AdminConnection | None = None

    # Start and end

    def start(self) -> None:
        """Up, with a quorum, and (if asked for) an OSD that is up; about 2 s, with an OSD 4 s."""
        for attempt in range(5):
            try:
                self._start()
            except PortTakenError:
                self.stop()
                if attempt == 4:
                    raise
            except BaseException as e:
                e.add_note(self.fresh_logs())
                self.stop()
                raise
            else:
                return

    def _start(self) -> None:
        # A short path: an admin socket's has at most 107 bytes.
        base = os.environ.get("MDSDAEMON_TEST_DIR")
        self.root = Path(tempfile.mkdtemp(prefix="mdsdaemon-", dir=base))
        self.conf, self.keyring = self.root / "ceph.conf", self.root / "keyring"
        for folder in ("run", "log", "osd.0", "mgr.x"):
            (self.root / folder).mkdir()
        self._ports = [PortHold(2) for _ in self.mon_names]
        self.mon_addrs = {
            name: f"[v2:{self.host}:{hold.first},v1:{self.host}:{hold.first + 1}]"
            for name, hold in zip(self.mon_names, self._ports, strict=True)
        }
        write_keyring(self.keyring)
        self.write_conf(self.conf)
        self._make_monitors()
        for name in self.mon_names:
            self.start_mon(name)
        self.wait_quorum(len(self.mon_names), timeout=20)
        self._admin = AdminConnection(
            self.conf, "client.admin", self.env, self.root / "log" / "admin.err"
        )
        if self._with_mgr:
            self._spawn("mgr.x", "ceph-mgr", "-f", "-i", "x")
        if self._with_osd:
            self._start_osd()

    def write_conf(self, path: Path, **changes: str) -> Path:
        """ceph.conf of this cluster to ``path``; ``changes`` replace options (`_` for spaces)."""
        text = _CONF.format(
            root=self.root,
            fsid=self.fsid,
            mode=self.mode,
            host=self.host,
            mon_host=",".join(self.mon_addrs.values()),
            mon_names=",".join(self.mon_names),
        )
        for name, value in {**self._options, **changes}.items():
            key = name.replace("_", " ")
            lines = [line for line in text.splitlines() if line.partition(" = ")[0] != key]
            text = "\n".join([*lines, f"{key} = {value}", ""])
        path.write_text(text + _CLIENT)
        return path

    def _make_monitors(self) -> None:
        monmap = self.root / "monmap"
        members = [w for name, addrs in self.mon_addrs.items() for w in ("--addv", name, addrs)]
        self.run("monmaptool", "--create", *members, "--fsid", self.fsid, str(monmap))
        for name in self.mon_names:
            (self.root / f"mon.{name}").mkdir()
            self.run(
                *("ceph-mon", "-c", str(self.conf), "-i", name, "--mkfs"),
                *("--monmap", str(monmap), "--keyring", str(self.keyring)),
            )

    def _start_osd(self) -> None:
        identity = str(uuid.uuid4())
        self.mon("osd new", uuid=identity, id=0)
        self.run("ceph-osd", "-c", str(self.conf), "-i", "0", "--mkfs", "--osd-uuid", identity)
        self._spawn("osd.0", "ceph-osd", "-f", "-i", "0")
        wait_for(lambda: self.mon("osd dump")["osds"][0]["up"] == 1, 30, "osd.0 is up")

    def stop(self) -> None:
        """Everything killed and deleted; the last call of every user."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        for daemon in [*self.mdss, *self.daemons.values()]:
            daemon.kill()
        self.mdss, self.daemons = [], {}
        for hold in self._ports:
            hold.close()
        if hasattr(self, "root"):
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reset(self) -> None:
        """As after the start: no file system, no MDS, no option changed at runtime."""
        self.admin.forget()
        for mds in self.mdss:
            mds.kill()
        self.mdss = []
        for fs in self.fs_dump()["filesystems"]:
            name = fs["mdsmap"]["fs_name"]
            self.mon("fs fail", fs_name=name)
            self.mon("fs rm", fs_name=name, yes_i_really_mean_it=True)
        for info in self.mds_infos():
            self.mon("mds fail", role_or_gid=str(info["gid"]))
        for setting in self.mon("config dump"):
            self.mon("config rm", who=setting["section"], name=setting["name"])
        wait_for(lambda: not self.mds_infos(), 10, "no MDS is in the map")

    # Monitors

    def _spawn(self, name: str, program: str, *args: str) -> Daemon:
        log = self.root / "log"
        argv = [program, "-c", str(self.conf), *args]
        daemon = Daemon(name, argv, self.env, log / f"{name}.err", log / f"{name}.log")
        self.daemons[name] = daemon
        return daemon

    def start_mon(self, name: str) -> None:
        self._spawn(f"mon.{name}", "ceph-mon", "-f", "-i", name)

    def kill_mon(self, name: str) -> None:
        self.daemons.pop(f"mon.{name}").kill()

    def mon_status(self, name: str) -> dict[str, Any]:
        """The monitor's own view, by its admin socket; empty while it does not answer."""
        daemon = self.daemons[f"mon.{name}"]
        if not daemon.running:
            if any(w in daemon.logged() for w in ("unable to bind", "Address already in use")):
                raise PortTakenError(f"{daemon.label} found its port taken")
            raise RuntimeError(f"{daemon.label} ended with status {daemon.proc.returncode}")
        try:
            status: dict[str, Any] = json.loads(
                asok(self.root / "run" / f"mon.{name}.asok", "mon_status", format="json")
            )
        except (OSError, ValueError):
            return {}
        return status

    def wait_quorum(self, size: int, timeout: float = 20) -> str:
        """The leader's name, once ``size`` of the monitors that run are in one quorum."""

        def leader() -> str | None:
            for name in self.mon_names:
                if f"mon.{name}" not in self.daemons:
                    continue
                status = self.mon_status(name)
                if status.get("state") == "leader" and len(status.get("quorum", ())) == size:
                    return name
            return None

        return wait_for(leader, timeout, f"{size} monitors have a quorum") or ""

    # Metadata servers

    def start_mds(
        self,
        kind: str,
        name: str,
        *args: str,
        label: str | None = None,
        conf: Path | None = None,
        env: Mapping[str, str] | None = None,
        with_conf: bool = True,
        module: str = "mdsdaemon",
    ) -> Mds:
        """ceph-mds ("real") or mdsdaemon ("ours") in the foreground, as mds.``name``.

        ``label`` names the files of a second daemon of the same name; ``conf`` is another
        ceph.conf than the cluster's (``with_conf=False``: none is named); ``env`` is added to
        the environment; ``module`` is run in the place of mdsdaemon.
        """
        program = ["ceph-mds", "-f"] if kind == "real" else [self.python, "-m", module]
        argv = [*program, "-i", name, *(("-c", str(conf or self.conf)) if with_conf else ())]
        if label is not None:
            argv += ["--admin-socket", str(self.root / "run" / f"mds.{label}.asok")]
            argv += ["--log-file", str(self.root / "log" / f"mds.{label}.log")]
        mds = Mds(self, kind, name, label or name, [*argv, *args], env or {})
        self.mdss.append(mds)
        return mds

    def start_real_mds(self, name: str, *args: str) -> Mds:
        return self.start_mds("real", name, *args)

    def start_our_mds(self, name: str, *args: str) -> Mds:
        return self.start_mds("ours", name, *args)

    # Questions

    def run(self, *argv: str, timeout: float = 60) -> str:
        """One of Ceph's programs to its end; its output. AssertionError when it fails."""
        done = subprocess.run(
            argv, env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{argv}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def ceph_result(
        self, *args: str, name: str = "client.admin", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """The stock `ceph` tool, its status and output as a user would see them."""
        return subprocess.run(
            ["ceph", "-c", str(self.conf), "-n", name, *args],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ceph(self, *args: str, json: bool = True) -> Any:
        """The stock `ceph` tool; its output parsed as JSON unless ``json=False`` (then text)."""
        done = self.ceph_result(*args, *(("-f", "json") if json else ()))
        assert done.returncode == 0, f"ceph {args}: status {done.returncode}\n{done.stderr}"
        return _parse(done.stdout) if json else done.stdout

    @property
    def admin(self) -> AdminConnection:
        assert self._admin is not None, "the cluster is not started"
        return self._admin

    def mon(self, prefix: str, /, **arguments: object) -> Any:
        """A monitor command over a connection that stays open (milliseconds); parsed output."""
        reply = self.admin.mon(prefix, **arguments)
        if reply.r < 0:
            raise CommandError(prefix, reply.r, reply.out, reply.err)
        return _parse(reply.out) if reply.out.strip() else None

    def tell(self, target: str, prefix: str, /, **arguments: object) -> Reply:
        """`ceph tell mds.TARGET` over a connection that stays open."""
        return self.admin.tell(target, prefix, **arguments)

    def fs_dump(self) -> dict[str, Any]:
        dump: dict[str, Any] = self.mon("fs dump")
        return dump

    def mds_infos(self) -> list[dict[str, Any]]:
        """Every MDS in the map: the standbys and those of each file system."""
        dump = self.fs_dump()
        infos = [*dump["standbys"]]
        for fs in dump["filesystems"]:
            infos += fs["mdsmap"]["info"].values()
        return infos

    def names(self) -> list[str]:
        return sorted(info["name"] for info in self.mds_infos())

    def new_fs(self, name: str = "cephfs") -> None:
        """A file system with its two pools (which it keeps from an earlier one of that name)."""
        for pool in (f"{name}.meta", f"{name}.data"):
            self.mon("osd pool create", pool=pool, pg_num=1)
        self.mon("fs new", fs_name=name, metadata=f"{name}.meta", data=f"{name}.data", force=True)

    # Reports

    def _all(self) -> Iterable[Daemon]:
        return [*self.daemons.values(), *self.mdss]

    def mark_logs(self) -> None:
        for daemon in self._all():
            daemon.mark_logs()

    def fresh_logs(self) -> str:
        """What every daemon wrote since ``mark_logs``, the last lines of each."""
        return "\n".join(f"===== {d.label}\n{text}" for d in self._all() if (text := d.fresh_log()))


def _parse(text: str) -> Any:
    """JSON output; the tool prints some of it after a line of its own."""
    return json.loads(text[min((i for c in "{[" if (i := text.find(c)) >= 0), default=0) :])


def main() -> None:
    """`python -m tests.real.cluster [osd] [mgr] [mds]`: one to try things with, until Ctrl-C."""
    asked = sys.argv[1:]
    with RealCluster(osd="osd" in asked, mgr="mgr" in asked) as cluster:
        if "mds" in asked:
            cluster.start_real_mds("real").wait_standby()
        print(f"ceph -c {cluster.conf} -s\nKeys for {', '.join(ENTITIES)[:60]} …")  # noqa: T201
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
