"""Writers whose every step can be checked, as programs of the system's Python on librados.

    rados_writer.py write CONF FIRST NOTES     transactions on a few objects, until it is killed
    rados_writer.py log CONF NOTES             appends to one object, over all restarts
    rados_writer.py check CONF                 answers questions on stdin

NOTES is a file to which a writer adds `i N` before it asks for step N and `a N` once that is
acknowledged.
"""

import json
import os
import sys
from typing import Any

import rados  # type: ignore[import-not-found, unused-ignore]

OBJECTS = 6
DEPTH = 8


def payload(step: int) -> bytes:
    """The data of an object after a step: up to 40 kB, and every byte of it tells the step."""
    return (b"%d," % step) * (step * 7919 % 5000 + 1)


def write(io: Any, first: int, notes: int) -> None:
    """Step N makes object N % OBJECTS all new: data, an xattr and an omap of the same number."""
    ahead: list[tuple[int, Any]] = []
    step = first
    while True:
        os.write(notes, b"i %d\n" % step)
        with rados.WriteOpCtx() as op:
            op.write_full(payload(step))
            op.set_xattr("n", b"%d" % step)
            io.clear_omap(op)
            io.set_omap(op, ("n", f"k{step}"), (b"%d" % step, b"v" * (step % 300)))
            ahead.append((step, io.operate_aio_write_op(op, f"w{step % OBJECTS}")))
        step += 1
        while len(ahead) >= DEPTH:
            done, completion = ahead.pop(0)
            completion.wait_for_complete_and_cb()
            assert completion.get_return_value() == 0
            os.write(notes, b"a %d\n" % done)


def log(io: Any, notes: int) -> None:
    ahead: list[tuple[int, Any]] = []
    step = 0
    while True:
        os.write(notes, b"i %d\n" % step)
        ahead.append((step, io.aio_append("log", b"%08d\n" % step)))
        step += 1
        while len(ahead) >= 4:
            done, completion = ahead.pop(0)
            completion.wait_for_complete_and_cb()
            assert completion.get_return_value() == 0
            os.write(notes, b"a %d\n" % done)


def state(io: Any, name: str) -> int:
    """The step that the object is of, -1 if it is not there; AssertionError: of no one step."""
    try:
        size, _ = io.stat(name)
    except rados.ObjectNotFound:
        return -1
    data = io.read(name, size + 1)
    step = int(io.get_xattr(name, "n"))
    with rados.ReadOpCtx() as op:
        values, _ = io.get_omap_vals(op, "", "", 100)
        io.operate_read_op(op, name)
        omap = {key: value or b"" for key, value in values}
    assert data == payload(step), f"{name}: data is not that of step {step}"
    assert omap == {"n": b"%d" % step, f"k{step}": b"v" * (step % 300)}, f"{name}: {omap}"
    return step


def check(io: Any) -> None:
    """A line asks; one JSON document answers: [steps of the objects, the log's numbers]."""
    for _ in sys.stdin:
        try:
            steps = [state(io, f"w{number}") for number in range(OBJECTS)]
            length = io.stat("log")[0]
            text = io.read("log", length).decode()
            answer: Any = [steps, text]
        except (AssertionError, rados.Error) as e:
            answer = repr(e)
        print(json.dumps(answer), flush=True)  # noqa: T201


def main(what: str, conf: str, *rest: str) -> None:
    with rados.Rados(conffile=conf, rados_id="admin") as cluster, cluster.open_ioctx("p") as io:
        if what == "check":
            check(io)
            return
        notes = os.open(rest[-1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        if what == "write":
            write(io, int(rest[0]), notes)
        else:
            log(io, notes)


main(*sys.argv[1:])
