"""libcephfs beside us: a child process of the system's Python that makes the calls it is told.

    with CephFSPeer(cluster.conf) as fs:
        fs.call("mkdir", "/d", 0o750)
        assert fs.call("stat", "/d")["st_mode"] == 0o40750

A call's error comes as `CallError` with its errno.

MDSDAEMON_TEST_CHROOT=DIR takes libcephfs (of another release) from a root folder with
python3-cephfs in it, as debootstrap makes one; the cluster's folder must have the same path inside.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any, Self

import trio
from tests.real.admin import SYSTEM_PYTHON

_CHROOT = os.environ.get("MDSDAEMON_TEST_CHROOT")
_START: tuple[str, ...] = ("setpriv", "--pdeathsig", "KILL")  # no child outlives the tests
if _CHROOT:
    _START += ("chroot", _CHROOT)

_PROGRAM = r"""
import json, os, sys, cephfs
conf, options = sys.argv[1], json.loads(sys.argv[2])
fs = cephfs.LibCephFS(conffile=conf, auth_id=options.pop("auth_id", "admin"))
for name, value in options.items():
    fs.conf_set(name, value)

def plain(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, cephfs.StatResult):
        got = {k: getattr(value, k) for k in dir(value) if k.startswith("st_")}
        return {k: v if isinstance(v, int) else v.timestamp() for k, v in got.items()}
    if isinstance(value, cephfs.DirEntry):
        return [value.d_name.decode("latin-1"), value.d_ino, value.d_type, value.d_off]
    return value if isinstance(value, (int, str, list, dict, tuple)) else None

def given(value):
    if isinstance(value, dict) and "bytes" in value:
        return value["bytes"].encode("latin-1")
    return tuple(value) if isinstance(value, list) else value

def listing(path):
    handle, found = fs.opendir(path), []
    while entry := fs.readdir(handle):
        found.append(entry)
    fs.closedir(handle)
    return [plain(entry) for entry in found]

for line in sys.stdin:
    name, args = json.loads(line)
    args = [given(a) for a in args]
    try:
        result = listing(*args) if name == "listing" else getattr(fs, name)(*args)
        answer = [0, plain(result)]
    except cephfs.Error as e:
        answer = [e.args[0], str(e)]
    print(json.dumps(answer), flush=True)
"""


class CallError(Exception):
    """A call failed; `errno` tells why."""

    def __init__(self, name: str, number: int, text: str) -> None:
        super().__init__(f"{name}: {errno.errorcode.get(number, number)} {text}")
        self.errno = number


class CephFSPeer:
    """See the module; `options` are libcephfs' (`auth_id`: another name than admin)."""

    def __init__(self, conf: Path, **options: str) -> None:
        self._child = subprocess.Popen(
            [*_START, SYSTEM_PYTHON, "-c", _PROGRAM, str(conf), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    def call(self, name: str, *args: Any) -> Any:
        """One method of LibCephFS, or `listing(path)`; bytes in results are latin-1 text."""
        sent = [{"bytes": a.decode("latin-1")} if isinstance(a, bytes) else a for a in args]
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([name, sent]) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        assert line, f"libcephfs ended in {name}{args}"
        number, value = json.loads(line)
        if number:
            raise CallError(name, number, value)
        return value

    async def acall(self, name: str, *args: Any) -> Any:
        """The same while the test's other tasks go on."""
        return await trio.to_thread.run_sync(partial(self.call, name, *args))

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
