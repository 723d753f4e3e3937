"""What librados' C interface does at an object store that its Python one cannot, as JSON.

    python3 rados_c_program.py CONF POOL

Comparisons of xattrs, listing by cursor and from a hash, checksums, class `cephfs`, operations one
after the other without waiting, the blocklist, and what capabilities let through.
"""

import ctypes
import json
import struct
import sys
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

LIB = ctypes.CDLL("librados.so.2")
for name in ("rados_create_write_op", "rados_create_read_op", "rados_object_list_begin",
             "rados_object_list_end"):  # fmt: skip
    getattr(LIB, name).restype = c_void_p
LIB.rados_get_last_version.restype = c_uint64

CASES: dict[str, Callable[["Store"], list[Any]]] = {}
EQ, NE, GT, GTE, LT, LTE = range(1, 7)


def case(function: Callable[["Store"], list[Any]]) -> Callable[["Store"], list[Any]]:
    CASES[function.__name__] = function
    return function


class Item(ctypes.Structure):
    """rados_object_list_item."""

    _fields_ = [
        ("oid_length", c_size_t),
        ("oid", c_void_p),
        ("nspace_length", c_size_t),
        ("nspace", c_void_p),
        ("locator_length", c_size_t),
        ("locator", c_void_p),
    ]


class Store:
    """A connection of one user, and a pool."""

    def __init__(self, conf: str, pool: str, user: str = "client.admin", key: str = "") -> None:
        self.conf = conf
        self.cluster = c_void_p()
        assert LIB.rados_create2(byref(self.cluster), b"ceph", user.encode(), c_uint64(0)) == 0
        assert LIB.rados_conf_read_file(self.cluster, conf.encode()) == 0
        if key:
            assert LIB.rados_conf_set(self.cluster, b"key", key.encode()) == 0
            LIB.rados_conf_set(self.cluster, b"keyring", b"")
        self.connected: int = LIB.rados_connect(self.cluster)
        self.io = c_void_p()
        self.opened = self.connected or LIB.rados_ioctx_create(
            self.cluster, pool.encode(), byref(self.io)
        )

    def close(self) -> None:
        if not self.opened:
            LIB.rados_ioctx_destroy(self.io)
        if not self.connected:
            LIB.rados_shutdown(self.cluster)

    def space(self, name: str) -> None:
        LIB.rados_ioctx_set_namespace(self.io, name.encode())

    def full(self, oid: str, data: bytes = b"") -> int:
        return int(LIB.rados_write_full(self.io, oid.encode(), data, c_size_t(len(data))))

    def append(self, oid: str, data: bytes) -> int:
        return int(LIB.rados_append(self.io, oid.encode(), data, c_size_t(len(data))))

    def read(self, oid: str) -> Any:
        buffer = ctypes.create_string_buffer(1 << 16)
        got = LIB.rados_read(self.io, oid.encode(), buffer, c_size_t(1 << 16), c_uint64(0))
        return got if got < 0 else buffer.raw[:got].decode("latin-1")

    def setxattr(self, oid: str, name: str, value: bytes) -> int:
        args = (oid.encode(), name.encode(), value, c_size_t(len(value)))
        return int(LIB.rados_setxattr(self.io, *args))

    def execute(self, oid: str, cls: str, method: str, data: bytes) -> Any:
        out = ctypes.create_string_buffer(4096)
        got = LIB.rados_exec(
            self.io, oid.encode(), cls.encode(), method.encode(),
            data, c_size_t(len(data)), out, c_size_t(4096),
        )  # fmt: skip
        return got if got < 0 else out.raw[:got].hex()

    def write_op(self, oid: str, *steps: tuple[Any, ...]) -> int:
        """Steps: (the function's name after rados_write_op_, arguments …)."""
        op = c_void_p(LIB.rados_create_write_op())
        for method, *args in steps:
            getattr(LIB, f"rados_write_op_{method}")(op, *args)
        result = int(LIB.rados_write_op_operate(op, self.io, oid.encode(), None, 0))
        LIB.rados_release_write_op(op)
        return result

    def read_op(self, oid: str, *steps: tuple[Any, ...], flags: int = 0) -> int:
        op = c_void_p(LIB.rados_create_read_op())
        for method, *args in steps:
            getattr(LIB, f"rados_read_op_{method}")(op, *args)
        result = int(LIB.rados_read_op_operate(op, self.io, oid.encode(), flags))
        LIB.rados_release_read_op(op)
        return result


def blob(data: bytes) -> tuple[bytes, c_size_t]:
    return data, c_size_t(len(data))


def cmp(name: str, how: int, value: bytes) -> tuple[Any, ...]:
    return ("cmpxattr", name.encode(), c_int(how), *blob(value))


@case
def comparisons_of_xattrs(store: Store) -> list[Any]:
    store.full("x", b"1")
    store.setxattr("x", "a", b"bbb")
    out: list[Any] = []
    for how in (EQ, NE, GT, GTE, LT, LTE):
        values = (b"aaa", b"bbb", b"bb", b"bbbb", b"ccc", b"")
        out += [store.read_op("x", cmp("a", how, value)) for value in values]
        out.append(store.read_op("x", cmp("none", how, b"")))
        out.append(store.read_op("no object", cmp("a", how, b"")))
    out.append(store.write_op("x", cmp("a", EQ, b"no"), ("append", *blob(b"lost"))))
    out.append(store.write_op("x", cmp("a", EQ, b"bbb"), ("append", *blob(b"+"))))
    out.append(store.write_op("x", ("setxattr", b"a", *blob(b"c")), cmp("a", EQ, b"c")))
    out.append(store.write_op("x", ("setxattr", b"a", *blob(b"d")), cmp("a", EQ, b"c")))
    return [*out, store.read("x"), store.read_op("x", cmp("a", EQ, b"c"))]


@case
def assertions(store: Store) -> list[Any]:
    out: list[Any] = [store.read_op("none", ("assert_exists",))]
    out.append(store.write_op("none", ("assert_exists",), ("append", *blob(b"x"))))
    store.full("here", b"1")
    version = LIB.rados_get_last_version(store.io)
    out.append(store.write_op("here", ("assert_exists",), ("append", *blob(b"2"))))
    numbers = (version, version + 1, version + 2)
    out += [store.read_op("here", ("assert_version", c_uint64(number))) for number in numbers]
    out.append(store.write_op("gone", ("create", 0, None), ("remove",)))
    out.append(store.read("gone"))
    return [*out, store.read("here")]


@case
def all_or_nothing(store: Store) -> list[Any]:
    """What came before a step that fails is not done, of any kind."""
    store.full("t", b"before")
    store.setxattr("t", "a", b"1")
    keys = (c_char_p * 1)(b"k")
    values = (c_char_p * 1)(b"v")
    sizes = (c_size_t * 1)(1)
    changes: list[tuple[Any, ...]] = [
        ("write_full", *blob(b"after")),
        ("setxattr", b"a", *blob(b"2")),
        ("setxattr", b"b", *blob(b"2")),
        ("omap_set2", keys, values, sizes, sizes, c_size_t(1)),
        ("zero", c_uint64(0), c_uint64(2)),
        ("truncate", c_uint64(3)),
    ]

    def seen() -> list[Any]:
        yes = [store.read_op("t", cmp(name, EQ, value)) for name, value in
               (("a", b"1"), ("a", b"2"), ("b", b"2"))]  # fmt: skip
        rval = c_int(0)
        omap = (b"k", c_int(EQ), *blob(b"v"), byref(rval))
        return [store.read("t"), *yes, store.read_op("t", ("omap_cmp", *omap))]

    out: list[Any] = [store.write_op("t", *changes, cmp("a", EQ, b"no")), seen()]
    out += [store.write_op("t", *changes, ("exec", b"lock", b"lock", b"", c_size_t(0), None))]
    out += [seen(), store.write_op("t", *changes), seen()]
    return out


@case
def listing_by_cursor(store: Store) -> list[Any]:
    for number in range(120):
        store.full(f"o{number}")
    store.space("other")
    for number in range(9):
        store.full(f"n{number}")
    store.space("")

    def cursor() -> c_void_p:
        return c_void_p(LIB.rados_object_list_begin(store.io))

    def listed(step: int, first: int = 0, parts: int = 1) -> list[str]:
        at = cursor()
        end = c_void_p(LIB.rados_object_list_end(store.io))
        if parts > 1:
            begin, finish = cursor(), cursor()
            LIB.rados_object_list_slice(
                store.io, at, end, c_size_t(first), c_size_t(parts), byref(begin), byref(finish)
            )
            at, end = begin, finish
        names: list[str] = []
        while not LIB.rados_object_list_is_end(store.io, at):
            items, after = (Item * step)(), cursor()
            got = LIB.rados_object_list(
                store.io, at, end, c_size_t(step), None, c_size_t(0), items, byref(after)
            )
            if got < 0:
                return [*names, f"error {got}"]
            names += [ctypes.string_at(i.oid, i.oid_length).decode() for i in items[:got]]
            at = after
            if LIB.rados_object_list_cursor_cmp(store.io, at, end) >= 0:
                break
        return names

    whole = listed(1000)
    out: list[Any] = [whole, listed(7) == whole, listed(1) == whole]
    for parts in (2, 3, 5):
        pieces = [listed(50, number, parts) for number in range(parts)]
        out += [
            [name for piece in pieces for name in piece] == whole,
            [len(piece) for piece in pieces],
        ]
    store.space("other")
    out.append(listed(4))
    store.space("\x01")  # LIBRADOS_ALL_NSPACES
    out.append(len(listed(11)))
    store.space("")
    handle = c_void_p()
    LIB.rados_nobjects_list_open(store.io, byref(handle))
    for position in (0, 0x40000000, 0x80000000, 0xF0000000):
        LIB.rados_nobjects_list_seek(handle, c_uint32(position))
        entry = c_char_p()
        got = LIB.rados_nobjects_list_next(handle, byref(entry), None, None)
        out.append([got, entry.value.decode() if entry.value else None])
    LIB.rados_nobjects_list_close(handle)
    return out


@case
def checksums(store: Store) -> list[Any]:
    store.full("c", b"some data to be summed up" * 100)
    out: list[Any] = []
    for kind, seed in ((0, b"seed"), (1, b"a seed 8"), (2, b"\xff" * 4)):
        for length, chunk in ((0, 0), (100, 50), (100, 33), (5, 5), (31, 0), (1000, 1000)):
            sums = ctypes.create_string_buffer(512)
            got = LIB.rados_checksum(
                store.io, b"c", c_int(kind), seed, c_size_t(len(seed)), c_size_t(length),
                c_uint64(3), c_size_t(chunk), sums, c_size_t(512),
            )  # fmt: skip
            out.append([got, sums.raw[:32].hex() if got == 0 else ""])
    return out


@case
def class_cephfs(store: Store) -> list[Any]:
    """accumulate_inode_metadata: what a recovery's scan keeps of the objects of a file."""
    names = ("scan_ceiling", "scan_max_mtime", "scan_max_size", "scan_pool_id")

    def args(index: int, size: int, mtime: int) -> bytes:
        body = struct.pack("<QQqQ", index, size, 1, mtime)
        for text in (*names[:3],):
            body += struct.pack("<I", len(text)) + text.encode()
        return struct.pack("<BBI", 1, 1, len(body)) + body

    out: list[Any] = []
    for index, size, mtime in ((1, 10, 100), (5, 3, 50), (2, 9, 200)):
        data = args(index, size, mtime)
        out.append(store.execute("f", "cephfs", "accumulate_inode_metadata", data))
    for name in names:
        value = ctypes.create_string_buffer(100)
        got = LIB.rados_getxattr(store.io, b"f", name.encode(), value, c_size_t(100))
        out.append(got if got < 0 else value.raw[:got].hex())
    out.append(store.execute("f", "cephfs", "accumulate_inode_metadata", b"x"))
    out.append(store.execute("f", "cephfs", "nix", b""))
    return out


@case
def one_after_the_other(store: Store) -> list[Any]:
    """Requests sent without waiting happen to an object in their order."""
    done = []
    for number in range(300):
        completion = c_void_p()
        LIB.rados_aio_create_completion2(None, None, byref(completion))
        text = f"{number},".encode()
        LIB.rados_aio_append(store.io, f"q{number % 3}".encode(), completion, *blob(text))
        done.append(completion)
    results = set()
    for completion in done:
        LIB.rados_aio_wait_for_complete(completion)
        results.add(LIB.rados_aio_get_return_value(completion))
        LIB.rados_aio_release(completion)
    return [sorted(results), *(store.read(f"q{number}") for number in range(3))]


def mon_command(store: Store, **cmd: Any) -> tuple[int, bytes]:
    words = (c_char_p * 1)(json.dumps({"format": "json", **cmd}).encode())
    out, out_len, outs, outs_len = c_void_p(), c_size_t(), c_void_p(), c_size_t()
    got = LIB.rados_mon_command(
        store.cluster, words, c_size_t(1), b"", c_size_t(0),
        byref(out), byref(out_len), byref(outs), byref(outs_len),
    )  # fmt: skip
    return got, ctypes.string_at(out, out_len.value) if out.value else b""


USERS = {
    "client.all": ["mon", "allow r", "osd", "allow *"],
    "client.none": ["mon", "allow r"],
    "client.reads": ["mon", "allow r", "osd", "allow r"],
    "client.pool": ["mon", "allow r", "osd", "allow rw pool={pool}"],
    "client.elsewhere": ["mon", "allow r", "osd", "allow rw pool=another"],
    "client.space": ["mon", "allow r", "osd", "allow rw pool={pool} namespace=mine"],
    "client.prefix": ["mon", "allow r", "osd", "allow rwx object_prefix pre"],
    "client.spaces": ["mon", "allow r", "osd", "allow r namespace=m*"],
    "client.tag": ["mon", "allow r", "osd", "allow rw tag app key=value"],
    "client.wrongtag": ["mon", "allow r", "osd", "allow rw tag app key=other"],
    "client.anytag": ["mon", "allow r", "osd", "allow rw tag app *=*"],
    "client.class": ["mon", "allow r", "osd", "allow class version, allow rw"],
    "client.classread": ["mon", "allow r", "osd", "allow r class-read"],
    "client.method": ["mon", "allow r", "osd", "allow class lock get_info"],
    "client.net": ["mon", "allow r", "osd", "allow rw network 10.0.0.0/8"],
    "client.rbd": ["mon", "allow r", "osd", "profile rbd"],
    "client.nomon": ["osd", "allow rw"],
}


@case
def capabilities(store: Store) -> list[Any]:
    """By pool, namespace, prefix, application and class."""
    pool = POOL
    mon_command(store, prefix="osd pool application enable", pool=pool, app="app",
                yes_i_really_mean_it=True)  # fmt: skip
    mon_command(store, prefix="osd pool application set", pool=pool, app="app", key="key",
                value="value")  # fmt: skip
    store.full("pre-o", b"1")
    store.full("o", b"1")
    store.space("mine")
    store.full("o", b"1")
    out: list[Any] = []
    for name, caps in USERS.items():
        words = [word.format(pool=pool) for word in caps]
        _, raw = mon_command(store, prefix="auth get-or-create", entity=name, caps=words)
        user = Store(store.conf, pool, name, json.loads(raw)[0]["key"])
        seen: list[Any] = [name, user.connected, user.opened]
        if not user.opened:
            for space in ("", "mine", "others"):
                user.space(space)
                seen += [user.read("o"), user.full("made"), user.full("pre-made")]
                asked = struct.pack("<BBIIs", 1, 1, 5, 1, b"x")
                seen += [user.execute("o", "lock", "get_info", asked)]
                seen += [user.execute("o", "version", "read", b"")]
                seen += [user.execute("o", "none", "none", b"")]
                handle = c_void_p()
                LIB.rados_nobjects_list_open(user.io, byref(handle))
                seen.append(LIB.rados_nobjects_list_next(handle, byref(c_char_p()), None, None))
                LIB.rados_nobjects_list_close(handle)
        out.append(seen)
        user.close()
    return out


@case
def blocklisted(store: Store) -> list[Any]:
    fenced = Store(store.conf, POOL)
    addrs = c_char_p()
    out: list[Any] = [fenced.full("before", b"1"), LIB.rados_getaddrs(fenced.cluster, byref(addrs))]
    out.append(LIB.rados_blocklist_add(store.cluster, addrs, c_uint32(60)))
    LIB.rados_wait_for_latest_osdmap(fenced.cluster)
    out += [fenced.full("behind", b"1"), fenced.read("before"), store.read("behind")]
    fenced.close()
    return out


def main(conf: str, pool: str) -> None:
    store = Store(conf, pool)
    assert not store.opened
    out = {}
    for name, function in CASES.items():
        store.space("")
        out[name] = function(store)
    store.close()
    print(json.dumps(out))  # noqa: T201


CONF, POOL = sys.argv[1:3]
main(CONF, POOL)
