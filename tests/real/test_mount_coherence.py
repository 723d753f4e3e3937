"""Two ceph-fuse mounts and a libcephfs process see one file system, with either daemon."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import subprocess
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
