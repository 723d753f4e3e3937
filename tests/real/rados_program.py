# mypy: ignore-errors
"""What librados does at an object store, as JSON: run by the system's Python (it has `rados`).

    /usr/bin/python3 rados_program.py CONF POOL

Every case is a function below; its result is printed under its name. The same from any OSD.
"""

import json
import sys
import threading
import time

import rados

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def tried(function, *args, **kwargs):
    """The result, or the errno that it failed with."""
    try:
        result = function(*args, **kwargs)
    except rados.Error as exc:
        return f"errno {abs(getattr(exc, 'errno', 0) or 0)} {type(exc).__name__}"
    return result.decode("latin-1") if isinstance(result, bytes) else result


def write_op(io, name, *steps, flags=0):
    """A compound write; steps are (method name, arguments…)."""
    with rados.WriteOpCtx() as op:
        for method, *args in steps:
            getattr(op, method)(*args)
        return tried(io.operate_write_op, op, name, flags=flags)


def omap(io, name, after="", prefix="", most=100):
    with rados.ReadOpCtx() as op:
        values, ret = io.get_omap_vals(op, after, prefix, most)
        done = tried(io.operate_read_op, op, name)
        if done is not None:
            return done
        return [ret, [[k, (v or b"").decode("latin-1")] for k, v in values]]


def set_omap(io, name, **pairs):
    with rados.WriteOpCtx() as op:
        io.set_omap(op, tuple(pairs), tuple(v.encode() for v in pairs.values()))
        return tried(io.operate_write_op, op, name)


@case
def data(io):
    out = [tried(io.read, "none"), tried(io.stat, "none"), tried(io.remove_object, "none")]
    out.append(io.write("a", b"hello"))
    out.append([tried(io.read, "a"), io.get_last_version() > 0, io.stat("a")[0]])
    out += [io.write("a", b"HE", 1), tried(io.read, "a"), tried(io.read, "a", 2, 3)]
    out += [io.append("a", b" world"), tried(io.read, "a")]
    out += [io.trunc("a", 4), tried(io.read, "a"), io.trunc("a", 8), tried(io.read, "a")]
    out += [io.write_full("a", b"new"), tried(io.read, "a"), tried(io.read, "a", 100, 3)]
    out += [io.write("sparse", b"x", 100_000), io.stat("sparse")[0]]
    out.append(tried(io.read, "sparse", 10, 99_995))
    out.append(tried(io.write, "a", b"x", 200 << 20))
    out += [io.write("none/é ü", b"utf"), tried(io.read, "none/é ü")]
    out += [io.remove_object("a"), tried(io.read, "a")]
    big = bytes(range(256)) * 4096 * 5
    io.write_full("big", big)
    out.append(io.read("big", len(big)) == big)
    out.append(io.read("big", 70_000, 32_000) == big[32_000:102_000])
    return out


@case
def compound(io):
    out = [write_op(io, "c", ("new", rados.LIBRADOS_CREATE_EXCLUSIVE))]
    out.append(write_op(io, "c", ("new", rados.LIBRADOS_CREATE_EXCLUSIVE)))
    out.append(write_op(io, "c", ("write_full", b"0123456789"), ("zero", 2, 3), ("append", b"!")))
    out.append(tried(io.read, "c"))
    out.append(write_op(io, "c", ("write", b"lost"), ("cmpext", b"zzz", 0)))
    out.append(write_op(io, "c", ("cmpext", b"01", 0), ("write", b"AB"), ("truncate", 5)))
    out.append(tried(io.read, "c"))
    out.append(write_op(io, "c", ("zero", 3, 100)))
    out.append(io.stat("c")[0])
    out.append(write_op(io, "c", ("writesame", b"xy", 6, 1)))
    out.append(tried(io.read, "c"))
    out.append(write_op(io, "c", ("writesame", b"xy", 5, 1)))
    out.append(write_op(io, "c", ("set_xattr", "k", b"v"), ("remove",)))
    out.append(tried(io.stat, "c"))
    out.append(write_op(io, "c2", ("write", b"data"), ("remove",), ("new", 0)))
    out.append(io.stat("c2")[0])
    io.write("c2", b"1")
    version = io.get_last_version()
    out.append(write_op(io, "c2", ("assert_version", version), ("append", b"2")))
    out.append(write_op(io, "c2", ("assert_version", version), ("append", b"3")))
    out.append(write_op(io, "c2", ("assert_version", version + 99), ("append", b"4")))
    out.append(tried(io.read, "c2"))
    failok = rados.LIBRADOS_OP_FLAG_FAILOK
    with rados.WriteOpCtx() as op:
        op.rm_xattr("none")
        op.set_flags(failok)
        op.write(b"kept")
        out.append(tried(io.operate_write_op, op, "c3"))
    out.append(tried(io.read, "c3"))
    return out


@case
def xattrs(io):
    io.write("x", b"")
    out = [tried(io.get_xattr, "x", "none"), tried(io.get_xattr, "none", "a")]
    out += [
        io.set_xattr("x", "b", b"2"),
        io.set_xattr("x", "a", b"1\0\xff"),
        tried(io.get_xattr, "x", "a"),
    ]
    out.append([[k, v.decode("latin-1")] for k, v in io.get_xattrs("x")])
    out += [
        tried(io.rm_xattr, "x", "a"),
        tried(io.rm_xattr, "x", "a"),
        tried(io.rm_xattr, "n", "a"),
    ]
    out.append(tried(io.set_xattr, "x", "n" * 101, b""))
    out.append(tried(io.set_xattr, "made", "a", b"v"))
    out.append(io.stat("made")[0])
    return out


@case
def omaps(io):
    out = [omap(io, "none"), set_omap(io, "o", b="2", a="1", c="", ab="x"), omap(io, "o")]
    out += [
        omap(io, "o", "a"),
        omap(io, "o", "", "a"),
        omap(io, "o", "ab", "a"),
        omap(io, "o", most=2),
    ]
    with rados.ReadOpCtx() as op:
        keys, _ = io.get_omap_keys(op, "a", 2)
        values, _ = io.get_omap_vals_by_keys(op, ("a", "c", "none"))
        out.append(tried(io.operate_read_op, op, "o"))
        out += [[k for k, _ in keys], [[k, (v or b"").decode()] for k, v in values]]
    for value, how in (("1", rados.LIBRADOS_CMPXATTR_OP_EQ), ("0", rados.LIBRADOS_CMPXATTR_OP_LT)):
        out.append(write_op(io, "o", ("omap_cmp", "a", value, how), ("append", b"z")))
    with rados.WriteOpCtx() as op:
        io.remove_omap_keys(op, ("a", "none"))
        out.append(tried(io.operate_write_op, op, "o"))
    out.append(omap(io, "o"))
    with rados.WriteOpCtx() as op:
        io.remove_omap_range2(op, "ab", "c")
        out.append(tried(io.operate_write_op, op, "o"))
    out.append(omap(io, "o"))
    with rados.WriteOpCtx() as op:
        io.clear_omap(op)
        out.append(tried(io.operate_write_op, op, "o"))
    out += [omap(io, "o"), set_omap(io, "o", z="26"), omap(io, "o")]
    many = {f"k{i:05}": "v" * 10 for i in range(3000)}
    set_omap(io, "many", **many)
    page = omap(io, "many", most=5000)
    out += [len(page[1]), page[1][-1], len(omap(io, "many", page[1][-1][0], most=5000)[1])]
    return out


@case
def listing(io):
    names = {f"obj{i}" for i in range(300)}
    for name in names:
        io.write_full(name, b"")
    io.set_namespace("ns")
    for i in range(7):
        io.write_full(f"in{i}", b"")
    io.set_namespace("")
    io.set_locator_key("key")
    io.write_full("located", b"")
    io.set_locator_key("")
    here = [o.key for o in io.list_objects()]
    io.set_namespace("ns")
    there = sorted(o.key for o in io.list_objects())
    io.set_namespace(rados.LIBRADOS_ALL_NSPACES)
    everywhere = sorted((o.nspace or "", o.key, o.locator_key or "") for o in io.list_objects())
    io.set_namespace("")
    mine = [key for key in here if key in names]
    # the order is that of the hashes, which all OSDs share
    return [
        len(here) == len(set(here)),
        len(mine),
        mine[:40],
        there,
        len(everywhere),
        everywhere[-9:],
    ]


@case
def locators(io):
    io.set_locator_key("key")
    io.write_full("far", b"1")
    out = [tried(io.read, "far")]
    io.set_locator_key("")
    out.append(tried(io.read, "far"))
    return out


@case
def snapshots(io):
    io.write_full("s", b"one")
    out = [tried(io.create_snap, "first"), tried(io.create_snap, "first")]
    io.write_full("s", b"second")
    io.create_snap("second")
    io.remove_object("s")
    out += [tried(io.read, "s"), [s.name for s in io.list_snaps()]]
    for name in ("first", "second"):
        io.set_read(io.lookup_snap(name).snap_id)
        out.append(tried(io.read, "s"))
    io.set_read(rados.LIBRADOS_SNAP_HEAD)
    out += [tried(io.snap_rollback, "s", "first"), tried(io.read, "s")]
    out += [tried(io.snap_rollback, "s", "none"), tried(io.snap_rollback, "never", "first")]
    out += [tried(io.remove_snap, "first"), tried(io.remove_snap, "second"), tried(io.read, "s")]
    return out


@case
def self_managed_snapshots(io):
    first = io.create_self_managed_snap()
    io.write_full("m", b"at first")
    io.set_self_managed_snap_write([first])
    io.write_full("m", b"changed!")
    second = io.create_self_managed_snap()
    io.set_self_managed_snap_write([second, first])
    io.write("m", b"C")
    set_omap(io, "m", k="v")
    out = [tried(io.read, "m")]
    for snap in (first, second):
        io.set_read(snap)
        out += [tried(io.read, "m"), omap(io, "m")]
    io.set_read(rados.LIBRADOS_SNAP_HEAD)
    out += [tried(io.rollback_self_managed_snap, "m", first), tried(io.read, "m"), omap(io, "m")]
    io.remove_object("m")
    io.set_read(first)
    out.append(tried(io.read, "m"))
    io.set_read(rados.LIBRADOS_SNAP_HEAD)
    out.append(tried(io.read, "m"))
    io.remove_self_managed_snap(first)
    io.remove_self_managed_snap(second)
    return out


@case
def locks(io):
    io.write_full("l", b"")
    out = [tried(io.lock_exclusive, "l", "name", "cookie", "what for")]
    out += [
        tried(io.lock_exclusive, "l", "name", "cookie"),
        tried(io.lock_shared, "l", "name", "c2", "t"),
    ]
    out += [tried(io.unlock, "l", "name", "wrong"), tried(io.unlock, "l", "name", "cookie")]
    out += [
        tried(io.lock_shared, "l", "name", "c1", "tag"),
        tried(io.lock_shared, "l", "name", "c2", "tag"),
    ]
    out += [
        tried(io.lock_shared, "l", "name", "c3", "gat"),
        tried(io.lock_exclusive, "l", "name", "c4"),
    ]
    out += [tried(io.unlock, "l", "name", "c1"), tried(io.unlock, "l", "name", "c2")]
    out += [tried(io.lock_exclusive, "made", "name", "c", duration=1), tried(io.stat, "made")[0]]
    time.sleep(1.1)
    out.append(tried(io.lock_exclusive, "made", "name", "other"))
    return out


@case
def classes(io):
    io.write_full("v", b"")
    out = [tried(io.execute, "v", "lock", "list_locks", b"")[1]]
    out += [
        tried(io.execute, "v", "none", "none", b""),
        tried(io.execute, "v", "lock", "none", b""),
    ]
    out += [tried(io.execute, "v", "lock", "lock", b"rubbish")]
    out += [tried(io.execute, "v", "version", "read", b"")]
    with rados.WriteOpCtx() as op:
        op.execute(
            "version",
            "set",
            bytes.fromhex("0101 13000000 0101 0d000000 0700000000000000 01000000 74"),
        )
        out.append(tried(io.operate_write_op, op, "v"))
    out.append(tried(io.execute, "v", "version", "read", b""))
    return out


@case
def watching(io):
    io.write_full("w", b"")
    heard = []
    again = threading.Event()

    def called(notify_id, notifier, watch_id, message):
        heard.append(message.decode())
        again.set()

    def failed(watch_id, error):
        heard.append(f"error {error}")
        again.set()

    out = [tried(io.watch, "none", called, failed), tried(io.notify, "none")]
    watch = io.watch("w", called, failed)
    out += [tried(io.notify, "w", "hello"), list(heard)]
    out.append(watch.check().total_seconds() >= 0)
    again.clear()
    io.remove_object("w")
    out += [again.wait(10), heard[-1].startswith("error")]
    try:
        watch.close()
    except rados.Error as exc:
        out.append(exc.errno)
    return out


@case
def asynchronous(io):
    done = [io.aio_write_full(f"aio{i}", b"%d" % i) for i in range(50)]
    io.aio_flush()
    done += [io.aio_append("aio1", b"+%d" % i) for i in range(20)]
    for completion in done:
        completion.wait_for_complete_and_cb()
    return [[c.get_return_value() for c in done], tried(io.read, "aio1"), tried(io.read, "aio49")]


def main(conf, pool):
    with rados.Rados(conffile=conf, rados_id="admin") as cluster:
        out = {}
        for name, function in CASES.items():
            chosen = pool + "-snaps" if name == "snapshots" else pool
            with cluster.open_ioctx(chosen) as io:
                out[name] = function(io)
        print(json.dumps(out, default=lambda raw: raw.decode("latin-1")))  # noqa: T201


main(*sys.argv[1:])
