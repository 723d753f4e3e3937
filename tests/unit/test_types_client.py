"""Names and bits of operations, capabilities and locks; the hash of names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.types import client_caps as c
from mdsdaemon.types import client_ops as ops
from mdsdaemon.types.mds import FilePath
from mdsdaemon.types.name_hash import (
    STR_HASH_LINUX,
    STR_HASH_RJENKINS,
    dentry_hash,
    str_hash_linux,
    str_hash_rjenkins,
)


@pytest.mark.parametrize(
    ("caps", "text"),
    [
        (0, "-"),
        (1, "p"),
        (0x155, "pAsLsXsFs"),
        (16349, "pAsxLsXsxFsxcrwb"),
        (c.CAP_FILE_LAZYIO | c.CAP_FILE_WREXTEND, "Fal"),
        (c.CAP_ANY, "pAsxLsxXsxFsxcrwbl"),
        (c.CAP_LINK_EXCL, "Lx"),
        (-1 & 0xFFFFFFFF, "pAsxLsxXsxFsxcrwbal"),
    ],
)
def test_capabilities_as_text(caps: int, text: str) -> None:
    assert c.ccap_string(caps) == text


def test_generic_bits_as_text() -> None:
    assert c.gcap_string(0xFF) == "sxcrwbal"
    assert c.gcap_string(0) == ""


@pytest.mark.parametrize(
    ("flags", "mode", "text"),
    [
        (ops.O_RDONLY, c.FILE_MODE_RD, "pFscr"),
        (ops.O_WRONLY, c.FILE_MODE_WR, "pAsxXsxFxwb"),
        (ops.O_RDWR | ops.O_CREAT, c.FILE_MODE_RDWR, "pAsxXsxFsxcrwb"),
        (ops.O_ACCMODE, c.FILE_MODE_RDWR, "pAsxXsxFsxcrwb"),
        (ops.O_RDONLY | ops.O_LAZY, c.FILE_MODE_RD | c.FILE_MODE_LAZY, "pFscrl"),
        (ops.O_DIRECTORY | ops.O_RDWR, c.FILE_MODE_PIN, "p"),
    ],
)
def test_what_an_open_file_wants(flags: int, mode: int, text: str) -> None:
    assert c.flags_to_mode(flags) == mode
    assert c.ccap_string(c.caps_for_mode(mode)) == text


def test_masks() -> None:
    assert c.STAT_CAP_INODE_ALL == 0x155
    assert c.CAP_ANY == 0xBFFD


def test_operations_by_name() -> None:
    names = {ops.mds_op_name(op) for op in ops.MdsOp}
    assert {"lookup", "setlayou", "flush_path", "getvxattr", "renamesnap"} <= names
    assert ops.mds_op_name(ops.MdsOp.RDLOCK_FRAGSSTATS) == "???"
    assert ops.mds_op_name(77) == "???"
    assert ops.session_op_name(ops.SessionOp.REQUEST_FLUSH_MDLOG) == "request_flushmdlog"
    assert ops.session_op_name(99) == ops.cap_op_name(-1) == ops.lease_op_name(0) == "???"
    assert ops.cap_op_name(ops.CapOp.FLUSHSNAP_ACK) == "flushsnap_ack"
    assert ops.lease_op_name(ops.LeaseOp.REVOKE_ACK) == "revoke_ack"
    assert ops.snap_op_name(ops.SnapOp.SPLIT) == "split"


@pytest.mark.parametrize(
    ("op", "writes"),
    [(ops.MdsOp.MKDIR, True), (ops.MdsOp.OPEN, False), (ops.MdsOp.GETFILELOCK, False)],
)
def test_which_operations_write(op: ops.MdsOp, writes: bool) -> None:
    assert bool(op & ops.MDS_OP_WRITE) is writes


# What libcephfs 16.2.15 reckons: the lower 24 bits stand in the place that it gives a name.
RJENKINS = {"l": 0x5295C8, "h": 0x8C849A, "f": 0xB63647}


def test_hash_of_names() -> None:
    for name, value in RJENKINS.items():
        assert dentry_hash(STR_HASH_RJENKINS, name) & 0xFFFFFF == value
    assert dentry_hash(STR_HASH_LINUX, "foo") == dentry_hash(0, "foo") == str_hash_linux(b"foo")
    assert str_hash_linux(b"") == 0
    assert str_hash_linux(b"a") == (0x610 + 6) * 11
    assert dentry_hash(STR_HASH_RJENKINS, "\udcff") == str_hash_rjenkins(b"\xff")
    with pytest.raises(ValueError, match="number 7"):
        dentry_hash(7, "x")


@given(st.binary(max_size=300))
def test_hashes_have_32_bits_and_see_every_byte(data: bytes) -> None:
    for function in (str_hash_rjenkins, str_hash_linux):
        assert 0 <= function(data) < 1 << 32
        if data:
            other = bytes([data[0] ^ 1]) + data[1:]
            assert function(other) != function(data) or function is str_hash_linux
    assert str_hash_rjenkins(data + b"\0") != str_hash_rjenkins(data)


@pytest.mark.parametrize(
    ("path", "bits"),
    [
        ("", []),
        ("a", ["a"]),
        ("a/b", ["a", "b"]),
        ("a/b/", ["a", "b"]),
        ("/s1", ["", "s1"]),
        ("/s1/a", ["", "s1", "a"]),
        ("a//b", ["a", "", "b"]),
        ("/", [""]),
    ],
)
def test_names_of_a_path(path: str, bits: list[str]) -> None:
    assert FilePath(1, path).bits() == bits
