"""Cases of POSIX about names: making, linking, renaming, removing, and who may."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

from tests.real.posix_kit import ANN, BOB, PEOPLE, ROOT, SHARED_GROUP, Trial, acting, make

KINDS = ("missing", "file", "dir", "full", "fifo", "link", "dangling", "dirlink", "loop")


def _set(t: Trial) -> None:
    make(t / "target-that-is", "file")
    make(t / "dir-that-is", "dir", 0o755)


def rename_kinds(t: Trial) -> None:
    """Each kind onto each kind, in one directory and into another."""
    _set(t)
    for source in KINDS:
        for target in KINDS:
            for there in ("", "other-"):
                folder = f"{source}-{target}{there and '-x'}"
                os.mkdir(t / folder)
                far = f"{folder}/far" if there else folder
                if there:
                    os.mkdir(t / far)
                make(t / f"{folder}/s", source)
                make(t / f"{far}/t", target)
                t.do(f"rename {folder}", os.rename, t / f"{folder}/s", t / f"{far}/t")
                t.tree(folder)


def link_kinds(t: Trial) -> None:
    for source in KINDS:
        for target in ("missing", "file", "dir", "dangling"):
            folder = f"{source}-{target}"
            os.mkdir(t / folder)
            make(t / f"{folder}/s", source)
            make(t / f"{folder}/t", target)
            t.do(f"link {folder}", link, t / f"{folder}/s", t / f"{folder}/t")
            t.tree(folder)


def link(source: str, target: str) -> None:
    os.link(source, target, follow_symlinks=False)


def strange_paths(t: Trial) -> None:
    """Every call on paths that are no good.

    No hard link is left when its file is replaced: libcephfs 16.2.15 then forgets the other names
    once it has the safe reply, at times that differ.
    """
    make(t / "file", "file")
    make(t / "dir", "full", 0o755)
    make(t / "loop", "loop")
    make(t / "dangling", "dangling")
    make(t / "dir/good", "file")
    paths = {
        "empty": "",
        "missing": t / "missing",
        "below missing": t / "missing/x",
        "below a file": t / "file/x",
        "below a loop": t / "loop/x",
        "a loop": t / "loop",
        "dangling": t / "dangling",
        "slash after a file": t / "file/",
        "slash after a dir": t / "dir/",
        "slash after missing": t / "missing/",
        "dot": t / "dir/.",
        "dots": t / "dir/..",
        "255": t / ("n" * 255),
        "256": t / ("n" * 256),
        "255 in 3": t / ("\u20ac" * 85),
        "258 in 3": t / ("\u20ac" * 86),
        "path of 4096": t / ("./" * 2100 + "dir"),
        "the file": t / "file",
        "the dir": t / "dir",
    }
    calls: dict[str, Callable[[str], Any]] = {
        "stat": os.stat,
        "lstat": os.lstat,
        "open": lambda p: os.close(os.open(p, os.O_RDONLY)),
        "access": lambda p: os.access(p, os.R_OK),
        "readlink": lambda p: os.readlink(p) and "read",
        "chmod": lambda p: os.chmod(p, 0o755),
        "chown": lambda p: os.chown(p, 0, 0),
        "utime": lambda p: os.utime(p, (1, 2)),
        "truncate": lambda p: os.truncate(p, 7),
        "listdir": lambda p: sorted(os.listdir(p)),
        "listxattr": os.listxattr,
        "statvfs": lambda p: os.statvfs(p).f_namemax,
        "link to": lambda p: link(p, t / "to"),
        "unlink to": lambda p: os.unlink(t / "to"),
        "rename here": lambda p: os.rename(t / "dir/good", p),
        "rename dir here": lambda p: os.rename(t / "dir", p),
        "rename away": lambda p: os.rename(p, t / "away"),
        "mkdir": os.mkdir,
        "rmdir": os.rmdir,
        "symlink": lambda p: os.symlink("x", p),
        "mkfifo": os.mkfifo,
        "unlink": os.unlink,
        "create": lambda p: os.close(os.open(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)),
        "again": lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o600)),
    }
    for what, path in paths.items():
        for name, call in calls.items():
            t.do(f"{name} {what}", call, path)
        if os.path.lexists(t / "away"):
            os.rename(t / "away", t / f"away {what[:9]}")
        for name, kind in (("file", "file"), ("dir", "full")):
            if os.path.lexists(t / name) and os.path.isdir(t / name) != (name == "dir"):
                os.rename(t / name, t / f"{name} {what[:9]}")
            if not os.path.lexists(t / name):
                make(t / name, kind, 0o755)
        if not os.path.lexists(t / "dir/good"):
            make(t / "dir/good", "file")
    t.tree()


def loops(t: Trial) -> None:
    """Directories into themselves, chains of symlinks, renames onto the same inode."""
    os.makedirs(t / "a/b/c")
    for target in ("a/x", "a/b/x", "a/b/c/x", "a", "a/b", "a/b/c"):
        t.do(f"rename a {target}", os.rename, t / "a", t / target)
    t.do("rename a/b/c onto a", os.rename, t / "a/b/c", t / "a")
    t.do("rename a/b/. x", os.rename, t / "a/b/.", t / "x")
    t.do("rename a/b/.. x", os.rename, t / "a/b/..", t / "x")
    make(t / "f", "file")
    link(t / "f", t / "g")
    t.do("rename f g", os.rename, t / "f", t / "g")
    t.do("rename f f", os.rename, t / "f", t / "f")
    t.tree()
    previous = "f"
    for number in range(42):
        os.symlink(previous, t / f"s{number:02}")
        previous = f"s{number:02}"
    for number in (0, 5, 38, 39, 40, 41):
        t.do(f"stat of link {number}", os.stat, t / f"s{number:02}")
    for size in (1, 255, 1000, 4000, 4095):
        t.do(f"symlink of {size}", os.symlink, "y" * size, t / f"long{size}")
        t.do(f"readlink of {size}", lambda p: len(os.readlink(p)), t / f"long{size}")
    raw = os.fsencode(t.dir) + b"/\xff\xfe\x80 name\n"
    t.do("name of bytes", lambda: os.close(os.open(raw, os.O_CREAT | os.O_WRONLY, 0o640)))
    t.do("names", lambda: [n for n in sorted(os.listdir(os.fsencode(t.dir))) if n[0] > 127])
    t.do("unlink it", os.unlink, raw)
    for name in ("A", "a ", " a", "\u00e9", "e\u0301", "\u2126", "~", "#1", ".x", "..x"):
        t.do(f"mkdir {name!r}", os.mkdir, t / name)
    t.do("nlink", lambda: os.stat(t.dir).st_nlink)
    t.tree()


def modes(t: Trial) -> None:
    """Modes asked for, umask, and groups that a directory hands down."""
    sgid = t / "sgid"
    os.mkdir(sgid)
    os.chown(sgid, ANN[0], SHARED_GROUP)
    os.chmod(sgid, 0o2777)
    calls: dict[str, Callable[[str, int], Any]] = {
        "mkdir": os.mkdir,
        "mkfifo": os.mkfifo,
        "create": lambda p, m: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, m)),
        "mknod": lambda p, m: os.mknod(p, stat.S_IFREG | m),
        "socket": lambda p, m: os.mknod(p, stat.S_IFSOCK | m),
        "char": lambda p, m: os.mknod(p, stat.S_IFCHR | m, os.makedev(1, 3)),
        "block": lambda p, m: os.mknod(p, stat.S_IFBLK | m, os.makedev(250, 70000)),
    }
    for umask in (0, 0o027, 0o777):
        for mode in (0, 0o644, 0o1777, 0o2755, 0o6777):
            for name, call in calls.items():
                for who, person in (("root", ROOT), ("bob", BOB)):
                    label = f"{name} {umask:o} {mode:o} {who}"
                    old = os.umask(umask)
                    for folder in (t.dir, sgid):
                        t.do(label, call, f"{folder}/{label}", mode, who=person)
                    os.umask(old)
    t.tree()
    t.do("rdev", lambda: os.stat(t / "block 0 644 root").st_rdev)


def permissions(t: Trial) -> None:
    """Each call in directories of each mode, sticky ones too, by owner, group and others."""
    for mode in (0o777, 0o1777, 0o1775, 0o775, 0o755, 0o711, 0o500, 0o300, 0o077):
        for who, person in PEOPLE.items():
            folder = f"{mode:o}-{who}"
            os.mkdir(t / folder)
            os.chown(t / folder, ANN[0], SHARED_GROUP)
            base = f"{t / folder}/"
            for owner, him in PEOPLE.items():
                for name in ("unlink", "rename", "over", "chmod", "link", "write"):
                    make(f"{base}{owner}-{name}", "file", 0o640, him)
                make(f"{base}{owner}-rmdir", "dir", 0o750, him)
                make(f"{base}{owner}-move", "dir", 0o750, him)
            os.chmod(t / folder, mode)
            outside = f"out-{folder}"
            os.mkdir(t / outside)
            os.chmod(t / outside, 0o777)
            _everything(t, person, base, f"{t / outside}/", folder)
            os.chmod(t / folder, 0o777)
            t.tree(folder)
            t.tree(outside)


def _everything(t: Trial, who: Any, base: str, outside: str, name: str) -> None:
    make(f"{outside}mine", "file", 0o644, who)
    calls: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
        ("listdir", lambda p: len(os.listdir(p)), (base,)),
        ("mkdir", os.mkdir, (f"{base}new",)),
        ("mkfifo", os.mkfifo, (f"{base}fifo",)),
        ("symlink", os.symlink, ("x", f"{base}sym")),
        ("create", lambda p: os.close(os.open(p, os.O_CREAT | os.O_RDWR, 0o600)), (f"{base}c",)),
        ("rename in", os.rename, (f"{outside}mine", f"{base}mine")),
    ]
    for owner in PEOPLE:
        calls += [
            (f"stat {owner}", os.stat, (f"{base}{owner}-write",)),
            (
                f"write {owner}",
                lambda p: os.close(os.open(p, os.O_RDWR)),
                (f"{base}{owner}-write",),
            ),
            (f"read {owner}", lambda p: os.close(os.open(p, 0)), (f"{base}{owner}-write",)),
            (f"truncate {owner}", os.truncate, (f"{base}{owner}-write", 3)),
            (f"utime {owner}", os.utime, (f"{base}{owner}-write", (5, 6))),
            (f"utime now {owner}", os.utime, (f"{base}{owner}-chmod",)),
            (f"chmod {owner}", os.chmod, (f"{base}{owner}-chmod", 0o2751)),
            (f"link {owner}", link, (f"{base}{owner}-link", f"{outside}{owner}-l")),
            (f"unlink {owner}", os.unlink, (f"{base}{owner}-unlink",)),
            (f"rmdir {owner}", os.rmdir, (f"{base}{owner}-rmdir",)),
            (f"rename {owner}", os.rename, (f"{base}{owner}-rename", f"{outside}{owner}-r")),
            (f"move {owner}", os.rename, (f"{base}{owner}-move", f"{outside}{owner}-m")),
        ]
        if owner != "root":
            calls.append((f"over {owner}", os.rename, (f"{base}c", f"{base}{owner}-over")))
    for label, call, arguments in calls:
        t.do(f"{name} {label}", call, *arguments, who=who)


def changing_directory(t: Trial) -> None:
    """A listing that is under way sees what stays, whatever comes and goes."""
    os.mkdir(t / "d")
    for number in range(400):
        make(t / f"d/f{number:03}", "file")
    seen: list[str] = []
    with os.scandir(t / "d") as entries:
        for count, entry in enumerate(entries):
            seen.append(entry.name)
            if count == 5:
                for number in range(1, 400, 2):
                    os.unlink(t / f"d/f{number:03}")
                for number in range(50):
                    os.mkdir(t / f"d/new{number}")
                os.rename(t / "d/f000", t / "d/f000-renamed")
    stay = {f"f{number:03}" for number in range(2, 400, 2)}
    t.note("all that stay", sorted(stay - set(seen)))
    t.note("none twice", len(seen) - len(set(seen)))
    t.note("now", sorted(os.listdir(t / "d")))
    t.note("on the other mount", sorted(os.listdir(f"{t.twin}/d")))
    t.do("rmdir", os.rmdir, t / "d")
    with os.scandir(t / "d") as entries:
        for entry in entries:
            (os.rmdir if entry.is_dir(follow_symlinks=False) else os.unlink)(entry.path)
    t.do("rmdir when empty", os.rmdir, t / "d")
    with acting(ANN):
        os.mkdir(t / "gone")
        fd = os.open(t / "gone", os.O_RDONLY | os.O_DIRECTORY)
        os.rmdir(t / "gone")
    t.do("listing of a removed directory", os.listdir, fd)
    t.do("links of a removed directory", lambda: os.fstat(fd).st_nlink)
    t.do(
        "create in a removed directory",
        lambda: os.close(os.open("x", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd)),
    )
    os.close(fd)


CASES = [
    rename_kinds,
    link_kinds,
    strange_paths,
    loops,
    modes,
    permissions,
    changing_directory,
]
