"""The embedded monitor as Ceph's own clients and tools see it, beside a real one."""

from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.conftest import started
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster
from tests.real.embedded_mon_script import SCRIPT, Step
from tests.real.shapes import Accepted, differences

OPTIONS = {"osd_pool_default_pg_autoscale_mode": "off", "mon_tick_interval": "1"}
OURS, THEIRS = r".*\(mdsdaemon-.*", r".*\(618f44.*"

ACCEPTED = [
    Accepted("(mon )?versions .*", f"{OURS}|{THEIRS}", "another build of 16.2.15"),
    Accepted(
        "mon metadata .*|report .*",
        r".*/(compression_algorithms|device_ids|device_paths|devices) str",
        "no compression and no devices of its own",
    ),
    Accepted("(mgr (dump|module ls)|status) .*", r".*modules.*", "there is no manager"),
    Accepted(
        "report .*",
        r"/(osd_metadata|osd_stats|pool_sum|osd_sum|num_pg_by_osd|osdmap|health)(/.*| .*)",
        "a real monitor has figures only while a manager reports them; another kind of OSD",
    ),
    Accepted("config help .*", r".*", "descriptions of options are our own, where there are any"),
]


@pytest.fixture(scope="module")
def embedded(real_ceph: None) -> Iterator[EmbeddedCluster]:
    with started(EmbeddedCluster(options=OPTIONS)) as cluster:
        assert isinstance(cluster, EmbeddedCluster)
        yield cluster


@pytest.fixture(scope="module")
def real(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(osd=True, options=OPTIONS)) as cluster:
        cluster.mon("auth rm", entity="client.badcaps")
        yield cluster


def masked(text: str) -> str:
    """Without what differs from one cluster to the next."""
    for pattern, word in (
        (r"[A-Za-z0-9+/]{38}==", "KEY"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+(\+0000|Z)", "STAMP"),
        (r"\[?v2:127.0.0.1:\d+/\d+(,v1:127.0.0.1:\d+/\d+\])?", "ADDR"),
        (r"client\.(\?|\d+) [\d.:/]+", "CLIENT"),
        (r"[0-9a-f]{8}-[0-9a-f-]{27}", "FSID"),
        (r"\(mdsdaemon-[\d.]+\)|\(618f[0-9a-f]*\)", "COMMIT"),
        (r"avialable", "available"),
        (r"(mon\.a \(mon\.0\)) \d+", r"\1 N"),
    ):
        text = re.sub(pattern, word, text)
    return text


def compare(step: Step, ours: Any, theirs: Any) -> list[str]:
    """What is wrong with our answer."""
    wrong = []
    if ours.r != theirs.r:
        wrong.append(f"ours {ours.r} {ours.err!r}, real {theirs.r} {theirs.err!r}")
        return wrong
    if step.texts and masked(ours.err) != masked(theirs.err):
        wrong.append(f"ours {ours.err!r}, real {theirs.err!r}")
    if not step.output:
        return wrong
    if step.json and theirs.out.strip():
        found = differences(str(step), json.loads(ours.out), json.loads(theirs.out), ACCEPTED)
        if any(found):
            wrong.append(f"only ours {found[0]}, only real {found[1]}")
    elif masked(ours.out) != masked(theirs.out):
        wrong.append(f"ours:\n{masked(ours.out)}\nreal:\n{masked(theirs.out)}")
    return wrong


def test_every_command_answers_as_a_real_monitor_does(
    embedded: EmbeddedCluster, real: RealCluster
) -> None:
    wrong = []
    for step in SCRIPT:
        ours, theirs = step.ask(embedded), step.ask(real)
        wrong += [f"## {step}\n{why}" for why in compare(step, ours, theirs)]
    assert not wrong, "\n".join(wrong)


CAPS = [
    ("mon", "allow *"),
    ("mon", "allow r,allow w"),
    ("mon", "allow r allow w"),
    ("mon", " allow rwx ; profile osd "),
    ("mon", "profile nonsense"),
    ("mon", "allow command"),
    ("mon", "allow command foo with"),
    ("mon", "allow command foo with a"),
    ("mon", "allow command foo with a=b c prefix d e regex '[x]'"),
    ("mon", "allow service mon"),
    ("mon", "allow service=mon r"),
    ("mon", "allow xw"),
    ("mon", "allow r network"),
    ("mon", "allow r network 10.0.0.0/8 fsname=x"),
    ("mon", "allow r fsname="),
    ("mon", "allow r,"),
    ("mon", ""),
    ("mon", "  "),
    ("mgr", "allow *"),
    ("mgr", "allow module volumes rw"),
    ("mgr", "allow module volumes with a=b c = d rw, allow r"),
    ("mgr", "profile rbd pool=x namespace=y"),
    ("mgr", "allow service"),
    ("mgr", "allow command 'fs ls' network 1.2.3.4/32"),
    ("mgr", "nonsense"),
    ("mds", "allow rw path=/a"),
    ("mds", "allow"),
    ("mds", "nonsense"),
    ("osd", "allow rwx pool=x namespace=y object_prefix z"),
    ("osd", "allow rw tag cephfs data=x"),
    ("osd", "nonsense"),
    ("foo", "allow *"),
]


@pytest.mark.parametrize(("service", "caps"), CAPS)
def test_caps_are_taken_or_refused_alike(
    embedded: EmbeddedCluster, real: RealCluster, service: str, caps: str
) -> None:
    step = Step("auth get-or-create", {"entity": "client.caps", "caps": [service, caps]})
    ours, theirs = step.ask(embedded), step.ask(real)
    for cluster in embedded, real:
        cluster.mon("auth rm", entity="client.caps")
    assert (ours.r, ours.err) == (theirs.r, theirs.err)


# -- the stock tools ----------------------------------------------------------------------------


def new_client(cluster: RealCluster, name: str, **caps: str) -> str:
    """A client with these caps; its name, whose key is in the cluster's keyring."""
    words = [word for pair in caps.items() for word in pair]
    (found,) = cluster.mon("auth get-or-create", entity=name, caps=words)
    with cluster.keyring.open("a") as ring:
        ring.write(f"[{name}]\n\tkey = {found['key']}\n")
    return name


def test_ceph_s(embedded: EmbeddedCluster) -> None:
    text = embedded.ceph("-s", json=False)
    assert "health: HEALTH_OK" in text
    assert "mon: 1 daemons, quorum a (age " in text
    assert "osd: 1 osds: 1 up" in text


def test_a_client_without_caps_does_not_get_in(embedded: EmbeddedCluster) -> None:
    name = new_client(embedded, "client.nomon", osd="allow *")
    done = embedded.ceph_result("fsid", name=name)
    assert done.returncode == 13
    assert "errno 13" in done.stderr


def test_a_wrong_key_does_not_get_in(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    ring = tmp_path / "keyring"
    key = "AQDUugNrVQb3HxAAiiCrtsvAxW6MRNZk2cOASA=="
    ring.write_text(f"[client.admin]\n\tkey = {key}\n")
    done = embedded.ceph_result("--keyring", str(ring), "fsid")
    assert done.returncode == 13
    assert key not in embedded.daemons["mon.a"].logged()


@pytest.mark.parametrize(
    ("caps", "argv", "status"),
    [
        ("allow r", ("fsid",), 0),
        ("allow r", ("config", "set", "mds", "debug_mds", "1"), errno.EACCES),
        ("allow command fsid", ("fsid",), 0),
        ("allow command fsid", ("health",), errno.EACCES),
        ("profile simple-rados-client", ("osd", "dump"), 0),
        ("profile simple-rados-client", ("osd", "pool", "create", "p"), errno.EACCES),
        ("allow rw", ("tell", "mon.a", "version"), errno.EACCES),
    ],
)
def test_caps_are_enforced(
    embedded: EmbeddedCluster, caps: str, argv: tuple[str, ...], status: int
) -> None:
    name = new_client(embedded, "client.caps", mon=caps)
    done = embedded.ceph_result(*argv, name=name)
    embedded.mon("auth rm", entity=name)
    text = embedded.keyring.read_text()
    embedded.keyring.write_text(text[: text.index(f"[{name}]")])
    assert done.returncode == status, done.stderr


def test_files_in_and_out(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    ring, conf, out = tmp_path / "ring", tmp_path / "conf", tmp_path / "out"
    embedded.ceph_result("auth", "get-or-create", "client.f", "mon", "allow r", "-o", str(ring))
    with ring.open("a") as stream:
        stream.write('\tcaps mon = "allow rw"\n')
    assert embedded.ceph_result("auth", "import", "-i", str(ring)).stderr == "imported keyring\n"
    assert embedded.ceph("auth", "get", "client.f")[0]["caps"] == {"mon": "allow rw"}
    conf.write_text("[mds]\n\tdebug mds = 7\n\tno such = option\n")
    embedded.ceph_result("config", "assimilate-conf", "-i", str(conf), "-o", str(out))
    assert out.read_text() == "\n[mds]\n\tno_such = option\n"
    assert embedded.ceph("config", "get", "mds.x", "debug_mds", json=False) == "7/7\n"
    embedded.ceph_result("config-key", "set", "blob", "-i", "/bin/true")
    embedded.ceph_result("config-key", "get", "blob", "-o", str(out))
    assert out.read_bytes() == Path("/bin/true").read_bytes()
    embedded.run("ceph", "-c", str(embedded.conf), "mon", "getmap", "-o", str(out))
    assert str(embedded.fsid) in embedded.run("monmaptool", "--print", str(out))


def test_tell_and_ping(embedded: EmbeddedCluster) -> None:
    assert embedded.ceph("tell", "mon.a", "version")["version"] == "16.2.15"
    assert embedded.ceph("tell", "mon.a", "mon_status")["state"] == "leader"
    assert "config show" in embedded.ceph("tell", "mon.a", "help", json=False)
    embedded.ceph("tell", "mon.a", "config", "set", "debug_mon", "7")
    assert embedded.ceph("tell", "mon.a", "config", "get", "debug_mon") == {"debug_mon": "7/7"}
    embedded.ceph("tell", "mon.a", "injectargs", "--debug_mon=1")
    assert embedded.ceph("config", "show", "mon.a", "debug_mon", json=False) == "1/1\n"
    assert embedded.ceph_result("tell", "mon.b", "version").returncode == errno.ENOENT

    def ping() -> str:
        """Its output; 16.2.15's librados crashes in one of thirty, also with a real monitor."""
        done = embedded.ceph_result("ping", "mon.a")
        assert done.returncode in (0, -signal.SIGSEGV), done.stderr
        return done.stdout

    assert '"status": "HEALTH_OK"' in wait_for(ping, 20, "a ping that librados survives")


def test_ceph_w_sees_what_is_logged(embedded: EmbeddedCluster) -> None:
    watch = subprocess.Popen(
        ["ceph", "-c", str(embedded.conf), "-w"],
        env=embedded.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stdout is not None
        for line in watch.stdout:  # the status comes first
            if line.startswith("    pgs:"):
                break

        def watched() -> bool:
            sessions = embedded.ceph("tell", "mon.a", "sessions")
            return len(sessions) > 2

        wait_for(watched, 10, "the watcher is connected")
        deadline = time.monotonic() + 10
        seen = ""
        while "words for you" not in seen:
            assert time.monotonic() < deadline
            embedded.mon("log", logtext=["words for you"])
            seen = watch.stdout.readline()
        assert "client.admin" in seen
    finally:
        watch.kill()
        watch.wait()
        if watch.stdout is not None:
            watch.stdout.close()


RADOS = """
import json, rados, sys
conf = sys.argv[1]
r = rados.Rados(conffile=conf, name="client.admin")
r.connect(timeout=10)
out = {"fsid": r.get_fsid(), "id": r.get_instance_id()}
status = json.dumps({"prefix": "status", "format": "json"})
out["status"] = json.loads(r.mon_command(status, b"")[1])
out["bad"] = r.mon_command(json.dumps({"prefix": "nonsense"}), b"")[0]
out["stats"] = r.get_cluster_stats()
out["pools"] = r.list_pools()
out["addrs"] = r.get_addrs()
r.shutdown()
wrong = {"key": "AQDUugNrVQb3HxAAiiCrtsvAxW6MRNZk2cOASA=="}
bad = rados.Rados(conffile=conf, name="client.admin", conf=wrong)
try:
    bad.connect(timeout=10)
except Exception as e:
    out["refused"] = type(e).__name__
print(json.dumps(out))
"""


def test_python_rados(embedded: EmbeddedCluster) -> None:
    out = json.loads(embedded.run(SYSTEM_PYTHON, "-c", RADOS, str(embedded.conf)))
    assert out["fsid"] == embedded.fsid
    assert out["id"] > 4096
    assert out["status"]["fsid"] == embedded.fsid
    assert out["bad"] == -errno.EINVAL
    assert out["stats"]["kb"] > 0
    assert out["refused"] == "PermissionDeniedError"


def test_configuration_reaches_a_stock_client(embedded: EmbeddedCluster) -> None:
    embedded.mon("config set", who="client.conf", name="debug_rados", value="3")
    name = new_client(embedded, "client.conf", mon="allow r")
    code = (
        "import rados, sys; r = rados.Rados(conffile=sys.argv[1], name=sys.argv[2]);"
        " r.connect(timeout=10); print(r.conf_get('debug_rados'))"
    )
    assert embedded.run(SYSTEM_PYTHON, "-c", code, str(embedded.conf), name) == "3/3\n"
    embedded.mon("config rm", who="client.conf", name="debug_rados")


def test_a_stock_manager_is_told_that_it_is_not_needed(
    embedded: EmbeddedCluster, tmp_path: Path
) -> None:
    name = new_client(embedded, "mgr.x", mon="allow profile mgr", osd="allow *", mds="allow *")
    argv = ["ceph-mgr", "-f", "-i", "x", "-c", str(embedded.conf), "--mgr-data", str(tmp_path)]
    argv += ["--keyring", str(embedded.keyring), "--no-mon-config"]
    with subprocess.Popen(
        argv, env=embedded.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as mgr:
        try:
            refusal = f"{name} is not taken"

            def told() -> bool:
                return any(refusal in line["message"] for line in embedded.mon("log last", num=50))

            wait_for(told, 20, "the manager is told")
            assert not embedded.mon("mgr stat")["available"]
        finally:
            mgr.kill()


# -- kill -9 ------------------------------------------------------------------------------------

COUNTER = """
import json, rados, sys
r = rados.Rados(conffile=sys.argv[1], name="client.admin")
r.connect(timeout=10)
n = 0
while True:
    cmd = {"prefix": "config-key set", "key": "n", "val": str(n)}
    assert r.mon_command(json.dumps(cmd), b"", timeout=30)[0] == 0
    print(n, r.get_instance_id(), flush=True)
    n += 1
"""


def test_what_was_acknowledged_is_there_after_kill_9(real_ceph: None) -> None:
    """A stock client keeps its session over the restarts, and no acknowledged write is lost."""
    cluster = EmbeddedCluster(data=True, options=OPTIONS)
    with started(cluster):
        counter = subprocess.Popen(
            [SYSTEM_PYTHON, "-c", COUNTER, str(cluster.conf)],
            env=cluster.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert counter.stdout is not None
            ids = set()
            for _ in range(5):
                acked = -1
                for _ in range(20):
                    words = counter.stdout.readline().split()
                    acked = int(words[0])
                    ids.add(words[1])
                cluster.restart()
                stored = int(cluster.run("ceph", "-c", str(cluster.conf), "config-key", "get", "n"))
                assert stored >= acked
            assert len(ids) == 1
        finally:
            counter.kill()
            counter.wait()
            if counter.stdout is not None:
                counter.stdout.close()
