"""`python` with mdsdaemon and what it imports, as a user without rights.

Tests often run as root, from an environment and with an interpreter below folders that are root's
alone. Then that user gets copies.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import mdsdaemon

NOBODY = 65534
_NO_MODULES = ("site-packages", "dist-packages", "test", "__pycache__", "config-*", "*.a")


class OrdinaryUser:
    """User and group nobody, or ourselves where we are not root. ``folder`` takes the copies."""

    def __init__(self, folder: Path) -> None:
        self.uid = os.getuid() or NOBODY
        self.env = {"PATH": "/nonexistent", "HOME": "/nonexistent"}
        self._become: list[str] = []
        self._python = os.path.realpath(sys.executable)
        if os.getuid() == 0:
            setpriv = shutil.which("setpriv")
            assert setpriv is not None
            self._become = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        folder.chmod(0o755)
        self.env["PYTHONPATH"] = str(_copy_packages(folder / "packages"))
        if self.run("-c", "import ssl").returncode:
            copy = _copy_interpreter(folder / "python")
            self._python = str(copy / "bin" / "python")
            self.env["LD_LIBRARY_PATH"] = str(copy / "lib")

    def run(self, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """One run of the interpreter."""
        return subprocess.run(
            [*self._become, self._python, *args],
            env={**self.env, **environ},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def _readable(folder: Path) -> Path:
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    return folder


def _copy_packages(to: Path) -> Path:
    shutil.copytree(Path(mdsdaemon.__file__).parent, to / "mdsdaemon")
    for package in _needed("mdsdaemon", set()):
        for file in package.files or ():
            if file.parts[0] != "..":  # its programs
                target = to / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(str(package.locate_file(file)), target)
    return _readable(to)


def _needed(name: str, seen: set[str]) -> Iterator[Distribution]:
    """The installed packages that a package needs, and those that they need, without extras."""
    for line in distribution(name).requires or ():
        match = re.match(r"[\w.-]+", line)
        if match is None or re.search(r"\bextra\s*==", line) or match[0] in seen:
            continue
        seen.add(match[0])
        try:
            yield distribution(match[0])
        except PackageNotFoundError:  # for other systems or versions of Python
            continue
        yield from _needed(match[0], seen)


def _copy_interpreter(to: Path) -> Path:
    """What we run on, without modules from elsewhere: the installation's folders as they lie."""
    base = Path(sys.base_prefix)
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library, to / library.relative_to(base), ignore=shutil.ignore_patterns(*_NO_MODULES)
    )
    for part in ("lib", "bin"):
        (to / part).mkdir(exist_ok=True)
    for shared in (base / "lib").glob("libpython*.so*"):
        shutil.copy2(shared, to / "lib")
    shutil.copy2(os.path.realpath(sys.executable), to / "bin" / "python")
    return _readable(to)
