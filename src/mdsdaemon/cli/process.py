"""What a process does for its daemon before it runs: user and group, directories, pid file.

Behaviour: ceph/ceph, src/global/global_init.cc, src/global/pidfile.cc (Pacific)
"""

from __future__ import annotations

import fcntl
import grp
import os
import pkgutil
import pwd
import stat
from collections.abc import MutableMapping
from importlib import import_module
from typing import Final

import trio

from mdsdaemon import records
from mdsdaemon.config import Config
from mdsdaemon.errors import ExitStatus, FatalError, UsageError

_NOT_A_DAEMON: Final = ("__main__", "cli", "cluster", "embedded", "pytest_plugin")
"""What of the program runs in other programs, or has been loaded."""


@records.frozen
class Owner:
    """User and group to run as; 0 leaves the process's own."""

    uid: int
    gid: int
    user: str = ""
    home: str = ""


def wanted_owner(config: Config) -> Owner | None:
    """Whom `setuser` and `setgroup` name, None when they are not set.

    Raises:
        UsageError: there is no such user or group.
    """
    setuser, setgroup = config.get_str("setuser"), config.get_str("setgroup")
    if not setuser and not setgroup:
        return None
    uid = gid = 0
    user = home = ""
    if setuser:
        found = _user(setuser)
        uid = found.pw_uid if found is not None else int(setuser)
        if found is not None:
            gid, user, home = found.pw_gid, found.pw_name, found.pw_dir
    if setgroup:
        gid = _group(setgroup)
    return Owner(uid, gid, user, home)


def _user(name: str) -> pwd.struct_passwd | None:
    """The user called `name`, or of that number; None for a number that nobody has."""
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        if name.isdecimal() and len(name) < 10:
            return None
    raise UsageError(f"unable to look up user '{name}'", "name an existing user with --setuser")


def _group(name: str) -> int:
    if name.isdecimal() and len(name) < 10:
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageError(
            f"unable to look up group '{name}'", "name an existing group with --setgroup"
        ) from None


def drop_privileges(config: Config, environ: MutableMapping[str, str]) -> str:
    """Become the user and group that the options name.

    Returns:
        A line for the log, "" when nothing was to be done.

    Raises:
        UsageError: no such user or group.
        FatalError: the path in `setuser_match_path` is not there, or the system refuses.
    """
    if os.getuid() != 0:
        named = [f"--{n} {config.get_str(n)}" for n in ("setuser", "setgroup") if config.get_str(n)]
        return f"ignoring {' '.join(named)} since I am not root" if named else ""
    owner = wanted_owner(config)
    if owner is None:
        return ""
    match_path = config.get_str("setuser_match_path")
    if match_path:
        try:
            there = os.stat(match_path)
        except OSError as e:
            raise FatalError(
                f"unable to stat setuser_match_path {match_path}: {e.strerror or e}",
                ExitStatus.CONFIG,
                "create it, or unset setuser_match_path",
            ) from None
        if (owner.uid and there.st_uid != owner.uid) or (owner.gid and there.st_gid != owner.gid):
            return (
                f"will not setuid/gid: {match_path} owned by {there.st_uid}:{there.st_gid} "
                f"and not requested {owner.uid}:{owner.gid}"
            )
    make_run_dir(config, owner)
    try:
        if owner.gid:
            os.setgroups([owner.gid])
            os.setgid(owner.gid)
        if owner.user and owner.gid:
            os.initgroups(owner.user, owner.gid)
        if owner.uid:
            os.setuid(owner.uid)
    except OSError as e:
        raise FatalError(
            f"unable to become {owner.uid}:{owner.gid}: {e.strerror or e}",
            ExitStatus.USAGE,
            "check --setuser and --setgroup",
        ) from None
    environ["HOME"] = owner.home
    return f"set uid:gid to {owner.uid}:{owner.gid} ({owner.user or owner.uid})"


def open_to_all() -> bool:
    """Whether any user may read the modules of Python, Trio and this program.

    As the permissions of one file of each tell, and of the folders that it is in.
    """
    return all(_may_read(module.__file__ or "") for module in (os, trio, records))


def _may_read(path: str) -> bool:
    if not os.stat(path).st_mode & stat.S_IROTH:
        return False
    folder, needed = os.path.dirname(os.path.abspath(path)), stat.S_IROTH | stat.S_IXOTH
    while os.stat(folder).st_mode & needed == needed:
        if folder == os.path.dirname(folder):
            return True
        folder, needed = os.path.dirname(folder), stat.S_IXOTH
    return False


def load_all() -> None:
    """Load every module that a daemon may come to need."""
    import_module("cbor2")
    for found in pkgutil.iter_modules([os.path.dirname(records.__file__)]):
        if found.name not in _NOT_A_DAEMON:
            top = import_module(f"mdsdaemon.{found.name}")
            for inner in pkgutil.walk_packages(getattr(top, "__path__", ()), f"{top.__name__}."):
                import_module(inner.name)


def make_run_dir(config: Config, owner: Owner | None = None) -> str:
    """Create `run_dir` when it is missing. Returns what went wrong, "" when nothing did."""
    path = config.get_str("run_dir")
    if not path or os.path.isdir(path):
        return ""
    try:
        os.mkdir(path, 0o755)
        if owner is not None:
            os.chown(path, owner.uid, owner.gid)
    except OSError as e:
        return f"unable to create run_dir {path}: {e.strerror or e}"
    return ""


class PidFile:
    """The file with our process ID, locked as long as we run.

    A respawn executes the program anew under the same process ID; the lock goes with the file's
    descriptor and is taken again.

    Raises:
        FatalError: it cannot be written, or another process holds it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        if not path:
            return
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as e:
            raise FatalError(
                f"cannot write pid file {path}: {e.strerror or e}",
                ExitStatus.CANNOT_CREATE,
                "correct the option pid_file",
            ) from None
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as e:
            other = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            self._descriptor = -1
            held = isinstance(e, BlockingIOError | PermissionError)
            raise FatalError(
                f"pid file {path} is held by the running process {other}"
                if held
                else f"cannot write pid file {path}: {e.strerror or e}",
                ExitStatus.CANNOT_CREATE,
                "stop that process first, or set another pid_file" if held else "",
            ) from None

    def remove(self) -> None:
        """Delete the file, unless somebody else has put another one there meanwhile."""
        if self._descriptor < 0:
            return
        try:
            if os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
                os.unlink(self.path)
        except OSError:
            pass  # it is gone, or its directory is no longer ours to change
        os.close(self._descriptor)
        self._descriptor = -1
