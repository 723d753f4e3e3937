"""`-m tests.real.mount_work FOLDER STEP…`: everyday work in a mounted folder.

Each step checks what it did and fails with a sentence; it knows nothing of the daemon behind it.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

SOURCE = Path("/usr/include")
PROJECT = Path(__file__).parents[2]


def run(*argv: str | Path, cwd: Path | None = None, timeout: float = 60) -> str:
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def same_trees(one: Path, two: Path) -> int:
    """How many files both have; an error if anything differs."""
    count = 0
    for folder, dirs, files in os.walk(one):
        other = two / Path(folder).relative_to(one)
        there = {entry.name for entry in os.scandir(other)}
        assert there == {*dirs, *files}, f"{other}: {there ^ {*dirs, *files}}"
        for name in files:
            a, b = Path(folder, name), other / name
            sa, sb = a.lstat(), b.lstat()
            assert (sa.st_mode, sa.st_size) == (sb.st_mode, sb.st_size), f"{b} is another"
            assert int(sa.st_mtime) == int(sb.st_mtime), f"{b}: {sa.st_mtime} and {sb.st_mtime}"
            assert a.is_symlink() or filecmp.cmp(a, b, shallow=False), f"{b} differs"
            count += 1
    return count


def tar(folder: Path) -> None:
    """Some hundred headers in and out again."""
    parts = [SOURCE / "linux", SOURCE / "c++"]
    chosen = next((part for part in parts if part.is_dir()), SOURCE)
    names = sorted(p.relative_to(chosen) for p in chosen.rglob("*") if not p.is_dir())[:120]
    listed = "\n".join(map(str, names))
    packed, again = folder / "in.tar", folder / "out.tar"
    for argv, given in (
        (["tar", "-C", str(chosen), "-cf", str(packed), "-T", "-"], listed),
        (["mkdir", str(folder / "tree"), str(folder / "back")], ""),
        (["tar", "-C", str(folder / "tree"), "-xf", str(packed)], ""),
        (["tar", "-C", str(folder / "tree"), "-cf", str(again), "."], ""),
        (["tar", "-C", str(folder / "back"), "-xf", str(again)], ""),
    ):
        done = subprocess.run(argv, input=given.encode(), check=False, timeout=60)
        # 1: the times of a directory that was just filled come later with the client's flush
        assert done.returncode in (0, 1), argv
    assert same_trees(folder / "tree", folder / "back") == len(names)
    for name in names:
        assert (chosen / name).read_bytes() == (folder / "back" / name).read_bytes(), name


def git(folder: Path) -> None:
    """A repository made, cloned, checked, committed to and packed."""
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "gc.auto=0")
    first, clone = folder / "first", folder / "clone"
    shutil.copytree(PROJECT / "src" / "mdsdaemon" / "encoding", first / "types")
    run("git", "init", "-q", first)
    run("git", "add", "-A", cwd=first)
    run("git", *who, "commit", "-q", "-m", "one", cwd=first)
    run("git", "clone", "-q", "--no-hardlinks", first, clone)
    (clone / "new").write_text("new\n")
    run("git", "mv", "types", "kinds", cwd=clone)
    run("git", "add", "-A", cwd=clone)
    run("git", *who, "commit", "-q", "-m", "two", cwd=clone)
    run("git", *who, "gc", "-q", cwd=clone)
    run("git", "fsck", "--strict", cwd=clone)
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    run("git", "pull", "-q", clone, "HEAD", cwd=first)
    assert (first / "new").read_text() == "new\n"


def rsync(folder: Path) -> None:
    """Copied with attributes; the second time there is nothing to do."""
    source = PROJECT / "src" / "mdsdaemon" / "net"
    run("rsync", "-aHX", "--exclude", "__pycache__", f"{source}/", folder / "copy")
    again = run("rsync", "-aHXi", "--exclude", "__pycache__", f"{source}/", folder / "copy")
    assert again == "", again
    (folder / "copy" / "more").write_text("more")
    run("rsync", "-a", "--delete", "--exclude", "__pycache__", f"{source}/", folder / "copy")
    assert not (folder / "copy" / "more").exists()
    run("rsync", "-ac", "--link-dest=../copy", f"{folder}/copy/", folder / "linked")
    for path in (folder / "linked").rglob("*.py"):
        assert path.stat().st_nlink == 2, path


def sqlite(folder: Path) -> None:
    """Two connections with a write-ahead log."""
    path = folder / "db"
    one, two = (sqlite3.connect(path, timeout=30) for _ in range(2))
    assert one.execute("pragma journal_mode=wal").fetchone() == ("wal",)
    one.execute("create table t (i integer primary key, v text)")
    one.commit()
    for number in range(20):
        for connection in (one, two):
            with connection:
                rows = [(f"{number}" * 50,)] * 10
                connection.executemany("insert into t (v) values (?)", rows)
    for connection in (one, two):
        assert connection.execute("select count(*) from t").fetchone() == (400,)
    assert one.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0
    one.close()
    two.close()
    assert not Path(f"{path}-wal").exists()
    with sqlite3.connect(path) as again:
        assert again.execute("pragma integrity_check").fetchone() == ("ok",)


def build(folder: Path) -> None:
    """Python compiled and imported; a C program where there is a compiler."""
    shutil.copytree(PROJECT / "src" / "mdsdaemon" / "encoding", folder / "coded")
    run(sys.executable, "-m", "compileall", "-q", "-f", folder / "coded")
    assert list((folder / "coded").rglob("*.pyc"))
    if shutil.which("cc") is None:
        return
    for number in range(4):
        text = f"int f{number}(int x) {{ return x + {number}; }}\n"
        (folder / f"f{number}.c").write_text(text)
        run("cc", "-c", f"f{number}.c", cwd=folder)
    main = "int f0(int), f1(int), f2(int), f3(int);\nint main(){return f0(f1(f2(f3(1))));}\n"
    (folder / "main.c").write_text(main)
    run("cc", "-o", "prog", "main.c", *(f"f{n}.o" for n in range(4)), cwd=folder)
    assert subprocess.run([folder / "prog"], check=False, timeout=60).returncode == 7


def fio(folder: Path) -> None:
    """Random writes by two processes, read back and verified."""
    run(
        *("fio", "--name=j", f"--directory={folder}", "--size=2m", "--bs=16k", "--rw=randrw"),
        *(
            "--numjobs=2",
            "--verify=crc32c",
            "--fallocate=none",
            "--fsync=32",
            "--output-format=json",
        ),
        cwd=folder,  # it leaves the state of its verification where it runs
    )


def dbench(folder: Path) -> None:
    run("dbench", "-t", "2", "-D", folder, "2")


def remove(folder: Path) -> None:
    """rm -rf of everything that the other steps have left."""
    shutil.copytree(PROJECT / "src" / "mdsdaemon" / "net", folder / "a" / "b" / "c")
    run("rm", "-rf", folder)
    assert not folder.exists()


STEPS = {step.__name__: step for step in (tar, git, rsync, sqlite, build, fio, dbench, remove)}


def main() -> None:
    root, *asked = sys.argv[1:]
    for name in asked:
        folder = Path(root) / name
        folder.mkdir()
        STEPS[name](folder)


if __name__ == "__main__":
    main()
