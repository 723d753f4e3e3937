"""Two ceph-fuse mounts and a libcephfs process see one file system, with either daemon."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.fs_pair import OURS, STOCK, FsClient, two_file_systems
from tests.real.fuse_mounts import FuseMount, mounted


class Three:
    """Two mounts and a library client of one file system; names are below a folder of a test."""

    def __init__(self, one: FuseMount, two: FuseMount, library: FsClient) -> None:
        self.mounts = (one, two)
        self.one, self.two = one.path, two.path
        self.library = library

    def call(self, *call: object) -> object:
        number, result = self.library.call(*call)
        assert number == 0, f"{call}: {number}"
        return result


@pytest.fixture(scope="module")
def cluster(can_mount: None) -> Iterator[RealCluster]:
    with started(RealCluster(osd=True, options=QUICK)) as cluster, two_file_systems(cluster):
        yield cluster


@pytest.fixture(scope="module")
def threes(
    cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Three]]:
    folder = tmp_path_factory.mktemp("three")
    with ExitStack() as stack:
        made = {}
        for fs in (STOCK, OURS):
            one, two = stack.enter_context(mounted(cluster, fs, folder, "ab"))
            library = stack.enter_context(FsClient(cluster.conf, fs))
            made[fs] = Three(one, two, library)
        yield made


@pytest.fixture(params=[STOCK, OURS])
def three(threes: dict[str, Three], request: pytest.FixtureRequest) -> Three:
    fs: str = request.param
    return threes[fs]


def test_appends_and_sizes_are_seen_at_once(three: Three) -> None:
    with (three.one / "log").open("ab", buffering=0) as one:
        for number in range(10):
            one.write(b"one\n")
            assert (three.two / "log").stat().st_size == 4 * (2 * number + 1)
            with (three.two / "log").open("ab", buffering=0) as two:
                two.write(b"two\n")
            assert three.call("content", "/log") == "one\ntwo\n" * (number + 1)
            assert os.fstat(one.fileno()).st_size == 8 * (number + 1)
    os.truncate(three.two / "log", 5)
    assert (three.one / "log").read_bytes() == b"one\nt"
    assert three.call("content", "/log") == "one\nt"
    os.truncate(three.one / "log", 8)
    assert (three.two / "log").read_bytes() == b"one\nt\0\0\0"


def test_names_are_seen_at_once(three: Three) -> None:
    one, two = three.one, three.two
    (one / "d").mkdir()
    for number in range(20):
        (one / "d" / f"f{number}").write_text(str(number))
        assert (two / "d" / f"f{number}").read_text() == str(number)
        os.rename(two / "d" / f"f{number}", two / "d" / "g")
        assert not (one / "d" / f"f{number}").exists()
        assert (one / "d" / "g").read_text() == str(number)
        assert three.call("content", "/d/g") == str(number)
    assert os.listdir(one / "d") == ["g"] == os.listdir(two / "d")
    os.rename(one / "d", one / "e")
    assert not (two / "d").exists()
    with pytest.raises(OSError, match="not empty"):
        (two / "e").rmdir()
    (one / "e" / "g").unlink()
    (two / "e").rmdir()
    assert not (one / "e").exists()
    assert three.library.call("stat", "/e")[0] == 2


def test_modes_owners_and_xattrs_are_seen_at_once(three: Three) -> None:
    one, two = three.one / "attrs", three.two / "attrs"
    one.write_text("x")
    for mode in (0o600, 0o755, 0o640, 0o444):
        one.chmod(mode)
        assert two.stat().st_mode & 0o7777 == mode
        two.chmod(mode | 0o200)
        assert one.stat().st_mode & 0o7777 == mode | 0o200
    os.setxattr(one, "user.a", b"1")
    assert os.getxattr(two, "user.a") == b"1"
    os.setxattr(two, "user.a", b"2")
    assert os.getxattr(one, "user.a") == b"2"
    os.chown(two, 12, 13)
    os.utime(one, ns=(5, 10**18 + 7))
    assert (one.stat().st_uid, two.stat().st_mtime_ns) == (12, 10**18 + 7)


def test_mappings_are_seen_after_msync(three: Three) -> None:
    (three.one / "mapped").write_bytes(bytes(8192))
    with (three.one / "mapped").open("r+b") as one, mmap.mmap(one.fileno(), 8192) as area:
        area[4090:4100] = b"0123456789"
        area.flush()
        os.fsync(one.fileno())
        with (three.two / "mapped").open("r+b") as two:
            assert os.pread(two.fileno(), 10, 4090) == b"0123456789"
            os.pwrite(two.fileno(), b"W", 0)
    assert str(three.call("content", "/mapped"))[:1] == "W"
    assert (three.one / "mapped").read_bytes()[4090:4100] == b"0123456789"


def test_mappings_on_both_mounts_take_turns(three: Three) -> None:
    """What one wrote back is in what the other maps after that; the library sees it at once.

    (A mapping that stands meanwhile keeps its pages, with ceph-mds, too.)
    """
    (three.one / "shared").write_bytes(b"0" * 8192)
    wanted = bytearray(b"0" * 8192)
    for turn in range(6):
        path = (three.one, three.two)[turn % 2] / "shared"
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 8192) as area:
            assert area[:] == wanted
            area[1000 * turn : 1000 * turn + 3] = wanted[1000 * turn : 1000 * turn + 3] = b"abc"
            area.flush()
            os.fsync(file.fileno())
        assert three.call("content", "/shared") == wanted.decode()
    with (three.two / "shared").open("rb") as two:
        assert three.library.call("open", "s", "/shared", os.O_RDWR, 0o644)[0] == 0
        assert three.library.call("write", "s", "LIB", 4096)[0] == 0
        assert os.pread(two.fileno(), 3, 4096) == b"LIB"
        assert three.library.call("ftruncate", "s", 4100)[0] == 0
        assert three.library.call("close", "s")[0] == 0
        assert os.fstat(two.fileno()).st_size == 4100
        assert os.pread(two.fileno(), 100, 4096) == b"LIB0"


def test_what_is_mapped_and_cut_off_elsewhere_is_gone(three: Three) -> None:
    """A look at a page behind the new end is SIGBUS, as on a local disk."""
    (three.one / "cut").write_bytes(b"1" * 16384)
    program = (
        "import mmap, os, sys\n"
        "f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 16384)\n"
        "assert m[12000:12001] == b'1'\n"
        "print('mapped', flush=True); sys.stdin.readline()\n"
        "assert os.fstat(f.fileno()).st_size == 5000\n"
        "assert m[4990:5000] == b'1' * 10\n"
        "print(m[4999:5001], flush=True); print(m[12000:12001], flush=True)\n"
    )
    child = subprocess.Popen(
        ["python3", "-c", program, str(three.one / "cut")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "mapped\n"
        os.truncate(three.two / "cut", 5000)
        said = child.communicate("\n", timeout=60)[0]
    finally:
        child.kill()
        child.wait()
    assert said == "b'1\\x00'\n"
    assert child.returncode == -signal.SIGBUS


def test_appends_of_all_at_a_time_are_all_there(three: Three) -> None:
    """Each takes the lock, writes at the end and lets go: nothing is written over anything.

    (O_APPEND alone does not do it: the kernel takes the end that it remembers.)
    """
    program = (
        "import fcntl, os, sys\n"
        "path, who = sys.argv[1:]\n"
        "for n in range(25):\n"
        "    with open(path, 'r+b', buffering=0) as f:\n"
        "        fcntl.flock(f, fcntl.LOCK_EX)\n"
        "        data = f'{who}{n:03d}\\n'.encode() * (1 + n * 40)\n"
        "        assert os.pwrite(f.fileno(), data, os.fstat(f.fileno()).st_size) == len(data)\n"
    )
    (three.one / "all").write_bytes(b"")
    children = [
        subprocess.Popen(["python3", "-c", program, str(path / "all"), who])
        for path, who in ((three.one, "a"), (three.one, "b"), (three.two, "c"), (three.two, "d"))
    ]
    try:
        for number in range(25):
            assert three.library.call("open", "s", "/all", os.O_RDWR, 0o644)[0] == 0
            assert three.library.call("flock", "s", fcntl.LOCK_EX, 5)[0] == 0
            assert three.library.call("write", "s", f"e{number:03d}\n", size_of(three))[0] == 0
            assert three.library.call("close", "s")[0] == 0
        for child in children:
            assert child.wait(100) == 0
    finally:
        for child in children:
            child.kill()
            child.wait()
    lines = (three.two / "all").read_bytes().splitlines()
    wanted = [b"%c%03d" % (who, n) for who in b"abcd" for n in range(25) for _ in range(1 + n * 40)]
    assert sorted(lines) == sorted([*wanted, *(b"e%03d" % n for n in range(25))])
    for path in (three.one, three.two):
        assert (path / "all").read_bytes().splitlines() == lines


def size_of(three: Three) -> int:
    shown = three.call("stat", "/all")
    assert isinstance(shown, dict)
    return int(shown["size"])


@pytest.mark.parametrize("lock", [fcntl.flock, fcntl.lockf])
def test_a_lock_is_waited_for(three: Three, lock: object) -> None:
    """The waiter on the other mount gets it when it is let go, or its holder is gone."""
    name = "flock" if lock is fcntl.flock else "lockf"
    path = three.one / name
    path.write_text("")
    wait = f"import fcntl; f = open({str(three.two / name)!r}, 'r+'); fcntl.{name}(f, 2); print(1)"
    with path.open("r+") as held:
        getattr(fcntl, name)(held, fcntl.LOCK_EX)
        waiter = subprocess.Popen(["python3", "-c", wait], stdout=subprocess.PIPE)
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                waiter.wait(0.5)
            getattr(fcntl, name)(held, fcntl.LOCK_UN)
            assert waiter.communicate(timeout=60)[0] == b"1\n"
        finally:
            waiter.kill()
            waiter.wait()


def test_an_open_file_without_a_name_stays_whole(three: Three) -> None:
    (three.one / "gone").write_bytes(b"kept" * 1000)
    with (three.two / "gone").open("rb") as held:
        (three.one / "gone").unlink()
        assert not (three.two / "gone").exists()
        assert held.read() == b"kept" * 1000
        assert os.fstat(held.fileno()).st_nlink == 0


def test_a_copy_on_one_mount_is_the_same_on_the_other(three: Three) -> None:
    """rsync writes, changes modes and renames each file in quick succession."""
    source = Path(__file__).parents[2] / "src" / "mdsdaemon" / "net"
    for number in range(3):
        words = ["rsync", "-aHX", "--exclude", "__pycache__", f"{source}/"]
        subprocess.run([*words, f"{three.one}/copy{number}"], check=True, timeout=100)
        for path in (three.one, three.two):
            again = subprocess.run(
                [*words, "-in", f"{path}/copy{number}"],
                check=True,
                timeout=100,
                capture_output=True,
            )
            assert again.stdout == b""


def test_a_mount_that_is_killed_leaves_what_it_had_synced(
    cluster: RealCluster, three: Three, tmp_path: Path
) -> None:
    """Its lock and its open file are free once it is evicted; the size is found out."""
    fs = three.mounts[0].fs
    mds = next(m for m in cluster.mdss if m.kind == ("ours" if fs == OURS else "real"))
    with mounted(cluster, fs, tmp_path, "c") as (victim,):
        fd = os.open(victim.path / "dirty", os.O_CREAT | os.O_RDWR, 0o644)
        os.write(fd, b"synced")
        os.fsync(fd)
        os.write(fd, b" and not")
        fcntl.flock(fd, fcntl.LOCK_EX)
        pid = str(victim.pid)
        (session,) = (s for s in mds.asok("session ls") if s["client_metadata"]["pid"] == pid)
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait()
        (three.one / "meanwhile").write_text("others go on")
        assert (three.two / "meanwhile").read_text() == "others go on"
        cluster.tell(mds.name, "session evict", filters=[f"id={session['id']}"])
        with (three.one / "dirty").open("r+b") as mine:
            fcntl.flock(mine, fcntl.LOCK_EX)
            assert mine.read().startswith(b"synced")
            mine.truncate(3)
        assert (three.two / "dirty").read_bytes() == b"syn"
        with pytest.raises(OSError, match=r"endpoint|connection|Software|I/O|error"):
            os.fstat(fd)
        with suppress(OSError):
            os.close(fd)


_HOLDER = """
import os, sys
path = sys.argv[1]
fd = os.open(path + "/held", os.O_CREAT | os.O_RDWR, 0o644)
os.write(fd, b"synced")
os.fsync(fd)
os.write(fd, b" and not")
print("ready", flush=True)
sys.stdin.readline()
for what in (
    lambda: os.fsync(fd),
    lambda: os.write(fd, b"more"),
    lambda: os.fsync(fd),
    lambda: open(path + "/later", "w"),
    lambda: os.listdir(path),
):
    try:
        what()
        print("done", flush=True)
    except OSError as e:
        print(e.errno, flush=True)
os._exit(0)
"""


class Holder:
    """A mount that will freeze, and a process with a file open there that is not all written."""

    def __init__(self, cluster: RealCluster, fs: str, folder: Path, stack: ExitStack) -> None:
        (self.mount,) = stack.enter_context(mounted(cluster, fs, folder, "f"))
        self.child = subprocess.Popen(
            ["python3", "-c", _HOLDER, str(self.mount.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(self.child.kill)
        stack.callback(self.mount.thaw)
        assert self.child.stdout is not None
        assert self.child.stdout.readline() == "ready\n"

    def fate(self) -> list[str]:
        """What the process is answered now."""
        return self.child.communicate("\n", timeout=60)[0].split()


def test_a_mount_that_freezes_is_shut_out(
    cluster: RealCluster, threes: dict[str, Three], tmp_path: Path
) -> None:
    """Who wants its file gets it after the timeout; when it wakes up, it writes nothing more."""
    said: dict[str, list[str]] = {}
    with ExitStack() as stack:
        for fs in threes:
            cluster.mon("fs set", fs_name=fs, var="session_timeout", val="30")
        holders = {fs: Holder(cluster, fs, tmp_path, stack) for fs in threes}
        for holder in holders.values():
            holder.mount.freeze()
        began = time.monotonic()
        readers = {}
        for fs, three in threes.items():
            (three.one / "others").write_text("go on")
            words = ["cat", str(three.one / "held")]
            readers[fs] = subprocess.Popen(words, stdout=subprocess.PIPE)
            stack.callback(readers[fs].kill)
        for fs, reader in readers.items():
            assert reader.communicate(timeout=120)[0].startswith(b"synced"), fs
            assert (threes[fs].two / "others").read_text() == "go on"
        assert 10 <= time.monotonic() - began <= 90
        for fs, holder in holders.items():
            mds = next(m for m in cluster.mdss if m.kind == ("ours" if fs == OURS else "real"))
            pids = [s["client_metadata"].get("pid") for s in mds.asok("session ls")]
            assert str(holder.mount.pid) not in pids
            holder.mount.thaw()
            said[fs] = holder.fate()
        assert said[OURS] == said[STOCK]
        assert said[OURS][-1] != "done"
        for three in threes.values():
            assert (three.one / "held").read_bytes().startswith(b"synced")
            assert not (three.one / "later").exists()
