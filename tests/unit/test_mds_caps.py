"""What mds caps allow."""

from typing import Any

import pytest

from mdsdaemon.cephx.auth import AuthCapsInfo
from mdsdaemon.cephx.caps import (
    MAY_CHGRP,
    MAY_CHOWN,
    MAY_EXECUTE,
    MAY_FULL,
    MAY_READ,
    MAY_SET_VXATTR,
    MAY_SNAPSHOT,
    MAY_WRITE,
    CapsError,
    MDSAuthCaps,
)
from mdsdaemon.types.entity import EntityAddr

HERE = EntityAddr.parse("v2:10.1.2.3:0/1")
RW = MAY_READ | MAY_WRITE


def capable(text: str, path: str = "", mask: int = MAY_READ, **options: Any) -> bool:
    """Root's inode of mode 0755, and user 1000:1000, unless said otherwise."""
    values = {
        "inode_uid": 0,
        "inode_gid": 0,
        "inode_mode": 0o755,
        "uid": 1000,
        "gid": 1000,
        "gids": [],
        "new_uid": 0,
        "new_gid": 0,
        "addr": HERE,
    }
    return MDSAuthCaps.parse(text).is_capable(path, mask=mask, **{**values, **options})


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("allow", "allow rwps"),
        ("allow *", "allow *"),
        ("allow all", "allow *"),
        ("allow r", "allow r"),
        ("allow rwfps", "allow rwfps"),
        ("allow rw path=/foo/", 'allow rw path="/foo/"'),
        ("allow rw path='//a b'", 'allow rw path="/a b"'),
        ("allow rw path=/", "allow rw"),
        ("allow rw uid=1", "allow rw uid=1"),
        ("allow rw uid=1 gids=3,1,2", "allow rw uid=1 gids=1,2,3"),
        ("allow rw gids=3,1,2", "allow rw"),
        ("allow rw fsname=a path=b root_squash", 'allow rw fsname=a path="/b" root_squash'),
        (
            "allow rw fsname=a path=b root_squash uid=5 gids=6 network 10.0.0.0/8",
            'allow rw fsname=a path="/b" root_squash uid=5 gids=6 network 10.0.0.0/8',
        ),
        ("allow r,allow rw path=/x ;  allow *", 'allow r, allow rw path="/x", allow *'),
        (" \n allow r\t", "allow r"),
    ],
)
def test_printed_as_ceph_prints(text: str, printed: str) -> None:
    caps = MDSAuthCaps.parse(text)
    assert str(caps) == f"MDSAuthCaps[{printed}]"
    assert MDSAuthCaps.parse(caps.text()) == caps


def test_no_caps_allow_nothing() -> None:
    caps = MDSAuthCaps()
    assert str(caps) == "MDSAuthCaps[]"
    assert not caps.allow_all()
    assert not caps.path_capable("")
    assert not caps.fs_name_capable("a", RW)


@pytest.mark.parametrize(
    ("text", "all_"),
    [
        ("allow *", True),
        ("allow all", True),
        ("allow * path=/", True),
        ("allow * fsname=a", True),
        ("allow * root_squash", True),
        ("allow r, allow *", True),
        ("allow", False),
        ("allow rwfps", False),
        ("allow * path=/a", False),
        ("allow * uid=0", False),
    ],
)
def test_allow_all(text: str, all_: bool) -> None:
    """The right to `tell`: as in Ceph, file system and root_squash do not narrow it."""
    assert MDSAuthCaps.parse(text).allow_all() is all_


def test_from_a_ticket() -> None:
    assert MDSAuthCaps.from_info(AuthCapsInfo(allow_all=True)).allow_all()
    info = AuthCapsInfo.from_text("allow rw path=/a")
    assert str(MDSAuthCaps.from_info(info)) == 'MDSAuthCaps[allow rw path="/a"]'
    for raw in (b"", b"\1", b"\7\0\0\0allow ", b"\xff\xff\xff\xff"):
        with pytest.raises(CapsError, match=f"caps buffer of {len(raw)} bytes"):
            MDSAuthCaps.from_info(AuthCapsInfo(caps=raw))
    with pytest.raises(CapsError, match="stopped at"):
        MDSAuthCaps.from_info(AuthCapsInfo(caps=b"\6\0\0\0allow\xff"))


@pytest.mark.parametrize(
    ("spec", "masks"),
    [
        ("r", {MAY_READ, MAY_EXECUTE}),
        ("rw", {MAY_READ, MAY_EXECUTE, MAY_WRITE}),
        ("rwf", {MAY_READ, MAY_EXECUTE, MAY_WRITE, MAY_FULL}),
        ("rwp", {MAY_READ, MAY_EXECUTE, MAY_WRITE, MAY_SET_VXATTR}),
        ("rws", {MAY_READ, MAY_EXECUTE, MAY_WRITE, MAY_SNAPSHOT}),
        ("rwfp", {MAY_READ, MAY_EXECUTE, MAY_WRITE, MAY_FULL, MAY_SET_VXATTR}),
        ("rwfs", {MAY_READ, MAY_EXECUTE, MAY_WRITE, MAY_FULL, MAY_SNAPSHOT}),
        ("rwps", {MAY_READ, MAY_EXECUTE, MAY_WRITE, MAY_SET_VXATTR, MAY_SNAPSHOT}),
        ("*", {MAY_READ, MAY_EXECUTE, MAY_WRITE, MAY_FULL, MAY_SET_VXATTR, MAY_SNAPSHOT}),
    ],
)
def test_what_a_spec_allows(spec: str, masks: set[int]) -> None:
    every = {MAY_READ, MAY_EXECUTE, MAY_WRITE, MAY_FULL, MAY_SET_VXATTR, MAY_SNAPSHOT}
    assert {mask for mask in every if capable(f"allow {spec}", mask=mask)} == masks


@pytest.mark.parametrize(
    ("cap", "inside", "outside"),
    [
        ("/", ["", "a", "a/b"], []),
        ("/a", ["a", "a/b"], ["", "ab", "b", "b/a"]),
        ("/a/", ["a", "a/b"], ["", "ab"]),
        ("a/b", ["a/b", "a/b/c"], ["a", "a/bc", "a/c"]),
    ],
)
def test_paths(cap: str, inside: list[str], outside: list[str]) -> None:
    text = f"allow rw path={cap}"
    caps = MDSAuthCaps.parse(text)
    for path in inside:
        assert caps.path_capable(path)
        assert capable(text, path)
    for path in outside:
        assert not caps.path_capable(path)
        assert not capable(text, path)


def test_grants_add_up() -> None:
    text = "allow r, allow rw path=/home"
    assert capable(text, "etc")
    assert not capable(text, "etc", RW)
    assert capable(text, "home/x", RW)


def test_file_systems() -> None:
    caps = MDSAuthCaps.parse("allow r fsname=a, allow rw fsname=b")
    assert caps.fs_name_capable("a", MAY_READ)
    assert not caps.fs_name_capable("a", MAY_WRITE)
    assert caps.fs_name_capable("b", MAY_WRITE)
    assert not caps.fs_name_capable("c", MAY_READ)
    for text in ("allow r", "allow *", "allow * fsname=x"):
        assert MDSAuthCaps.parse(text).fs_name_capable("any", MAY_READ)
    assert not MDSAuthCaps.parse("allow r").fs_name_capable("any", MAY_WRITE)
    # Pacific's is_capable does not look at the file system, Squid's does.
    text = "allow r fsname=a, allow rw fsname=b"
    assert capable(text, mask=MAY_WRITE)
    assert not capable(text, mask=MAY_WRITE, fs_name="a")
    assert capable(text, mask=MAY_WRITE, fs_name="b")


@pytest.mark.parametrize(
    ("network", "host", "inside"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.9.9.9/8", "10.1.2.3", True),
        ("11.0.0.0/8", "10.1.2.3", False),
        ("0.0.0.0/0", "10.1.2.3", True),
        ("10.1.2.3/32", "10.1.2.3", True),
        ("10.1.2.3/99", "10.1.2.3", True),
        ("10.1.2.2/31", "10.1.2.3", True),
        ("10.1.2.2/4294967296", "10.1.2.3", False),
        ("::/0", "10.1.2.3", False),
        ("fe80::/10", "fe80::1", True),
        ("0.0.0.0/0", "fe80::1", False),
        ("10.1.2.3", "10.1.2.3", False),
        ("10.1.2.3/", "10.1.2.3", False),
        ("10.0.0/8", "10.1.2.3", False),
        ("[::1]/128", "::1", False),
        ("10.0.0.0/8", "", False),
    ],
)
def test_networks(network: str, host: str, inside: bool) -> None:
    addr = EntityAddr(2, 1, host, 0)
    assert capable(f"allow rw network {network}", addr=addr) is inside
    assert capable("allow rw", addr=addr)


def test_root_squash() -> None:
    text = "allow rw root_squash"
    assert capable(text, mask=RW)
    roots: list[dict[str, Any]] = [{"uid": 0}, {"gid": 0}, {"uid": 0, "gid": 0}]
    for who in roots:
        assert not capable(text, mask=RW, **who)
        assert capable(text, mask=MAY_READ, **who)
    assert capable(text, mask=RW, gids=[0])
    assert capable(f"{text}, allow rw path=/a", "a", RW, uid=0)


# ---- caps for one user: the mode counts too ----


@pytest.mark.parametrize(
    ("mode", "who", "mask"),
    [
        (0o700, {"inode_uid": 1000}, MAY_READ | MAY_WRITE | MAY_EXECUTE),
        (0o400, {"inode_uid": 1000}, MAY_READ),
        (0o077, {"inode_uid": 1000}, 0),
        (0o070, {"inode_gid": 7}, MAY_READ | MAY_WRITE | MAY_EXECUTE),
        (0o020, {"inode_gid": 8}, MAY_WRITE),
        (0o070, {"inode_gid": 9}, 0),
        (0o007, {"inode_gid": 9}, MAY_READ | MAY_WRITE | MAY_EXECUTE),
        (0o001, {}, MAY_EXECUTE),
    ],
)
def test_modes(mode: int, who: dict[str, Any], mask: int) -> None:
    text = "allow rw uid=1000 gids=7,8"
    for bit in (MAY_READ, MAY_WRITE, MAY_EXECUTE):
        allowed = capable(text, mask=bit, inode_mode=mode, gid=7, gids=[8, 9], **who)
        assert allowed is bool(mask & bit)


def test_users_and_groups() -> None:
    text = "allow rw uid=1000 gids=7,8"
    assert capable(text, gid=7)
    assert capable(text, gid=5, gids=[1, 8])
    assert not capable(text, gid=5, gids=[1])
    assert not capable(text, uid=1001, gid=7)
    assert capable("allow rw uid=1000", gid=5)
    assert capable("allow rw uid=4000000000", uid=4000000000)


def test_changing_the_owner() -> None:
    text = "allow rw uid=1000 gids=7,8"
    mine: dict[str, Any] = {"inode_uid": 1000, "inode_gid": 7, "gid": 7, "gids": [8]}
    assert capable(text, mask=MAY_CHOWN, new_uid=1000, **mine)
    assert not capable(text, mask=MAY_CHOWN, new_uid=1001, **mine)
    assert capable(text, mask=MAY_CHGRP, new_gid=8, **mine)
    assert not capable(text, mask=MAY_CHGRP, new_gid=9, **mine)
    theirs = {**mine, "inode_uid": 0}
    assert not capable(text, mask=MAY_CHOWN, new_uid=1000, **theirs)
    assert not capable(text, mask=MAY_CHGRP, new_gid=8, **theirs)
    assert capable("allow rw", mask=MAY_CHOWN | MAY_CHGRP, new_uid=5, new_gid=6)
