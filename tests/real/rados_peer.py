"""librados beside us: a child process of the system's Python that looks at objects.

`RadosPeer.look(oid)` is what python3-rados sees of an object, `run(oid, method, …)` has one of its
Ioctx methods called, bytes as latin-1 text.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.real.admin import SYSTEM_PYTHON

_PROGRAM = r"""
import json, sys, rados
conf, pool = sys.argv[1:3]
cluster = rados.Rados(conffile=conf, name="client.admin")
cluster.connect()
ctx = cluster.open_ioctx(pool)

def text(raw):
    return (raw or b"").decode("latin-1")

def look(oid):
    ctx.set_namespace(space)
    try:
        size, _ = ctx.stat(oid)
    except rados.ObjectNotFound:
        return None
    with rados.ReadOpCtx() as op:
        it, _ = ctx.get_omap_vals(op, "", "", 1 << 20)
        ctx.operate_read_op(op, oid)
        omap = {k: text(v) for k, v in it}
    return {
        "size": size,
        "data": text(ctx.read(oid, size or 1)),
        "xattrs": {k: text(v) for k, v in ctx.get_xattrs(oid)},
        "omap": omap,
        "version": ctx.get_last_version(),
    }

def run(oid, method, args):
    ctx.set_namespace(space)
    args = [a["bytes"].encode("latin-1") if isinstance(a, dict) else a for a in args]
    if method == "set_omap":
        with rados.WriteOpCtx() as op:
            ctx.set_omap(op, tuple(args[0]), tuple(v.encode("latin-1") for v in args[1]))
            ctx.operate_write_op(op, oid)
        return None
    got = getattr(ctx, method)(oid, *args)
    return text(got) if isinstance(got, bytes) else None

def names():
    ctx.set_namespace(rados.LIBRADOS_ALL_NSPACES)
    return sorted([o.nspace, o.key] for o in ctx.list_objects())

print("ready", flush=True)
for line in sys.stdin:
    what, space, *rest = json.loads(line)
    print(json.dumps({"look": look, "run": run, "names": names}[what](*rest)), flush=True)
"""


class RadosPeer:
    """A librados client of one pool, as client.admin."""

    def __init__(self, conf: Path, pool: str) -> None:
        self._child = subprocess.Popen(
            [SYSTEM_PYTHON, "-c", _PROGRAM, str(conf), pool],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "the librados client ended"
        return line.rstrip("\n")

    def _ask(self, *words: Any) -> Any:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(words) + "\n")
        self._child.stdin.flush()
        return json.loads(self._read())

    def look(self, oid: str, space: str = "") -> dict[str, Any] | None:
        """Size, data, xattrs, omap and version; None: no such object."""
        found: dict[str, Any] | None = self._ask("look", space, oid)
        return found

    def run(self, oid: str, method: str, *args: Any, space: str = "") -> Any:
        """Call a method of Ioctx on the object."""
        plain = [{"bytes": a.decode("latin-1")} if isinstance(a, bytes) else a for a in args]
        return self._ask("run", space, oid, method, plain)

    def names(self) -> list[list[str]]:
        """(namespace, name) of every object of the pool."""
        found: list[list[str]] = self._ask("names", "")
        return found

    def close(self) -> None:
        """End the child."""
        self._child.stdin and self._child.stdin.close()
        self._child.wait(10)
        self._child.stdout and self._child.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
