"""The mon capability string: its language, and what it allows."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.embedded.monitor import auth_caps
from mdsdaemon.embedded.monitor.mon_caps import CapsError, MonCaps
from mdsdaemon.types.entity import EntityAddr, EntityName

ALICE = EntityName.parse("client.alice")
MDS_A = EntityName.parse("mds.a")
HERE = EntityAddr.parse("v2:10.1.2.3:0/1")


def may(
    caps: str,
    service: str,
    perms: str,
    command: str = "",
    args: Mapping[str, str] | None = None,
    *,
    name: EntityName = ALICE,
    addr: EntityAddr | None = HERE,
) -> bool:
    return MonCaps.parse(caps).is_capable(name, service, command, args or {}, perms, addr)


@pytest.mark.parametrize(
    "text",
    [
        "allow *",
        "allow all",
        "allow r",
        "allow rwx",
        "allow wx",
        "  allow r ",
        "allow r, allow w;allow x",
        "allow service mon rw",
        "allow service=mon rw network 10.0.0.0/8",
        "allow profile osd",
        "profile osd",
        "profile=simple-rados-client",
        "allow command foo",
        'allow command "config-key get" with key=x',
        'allow command "auth get-or-create" with entity prefix mds. caps_mon="allow r"',
        'allow command foo with a regex "^x.*$" network 1.2.3.0/24',
        "allow r network 10.0.0.0/8",
        "allow r fsname=cephfs",
        "allow rw network 10.0.0.0/8 fsname a, allow r fsname=b",
    ],
)
def test_language(text: str) -> None:
    assert MonCaps.parse(text).text == text


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("", None),
        ("rw", "rw"),
        ("allow", "allow"),
        ("allow ", "allow "),
        ("allow rubbish", "ubbish"),
        ("allow xw", "w"),
        ("allow r allow w", "allow w"),
        ("allow r,", ","),
        ("allow r, nonsense", ", nonsense"),
        ("allow service mon", "allow service mon"),
        ("allow command foo with", "with"),
        ("allow command foo with a", "with a"),
        ("allow profile", "allow profile"),
        ("allow r fsname=", "fsname="),
        ("allow r network", "network"),
    ],
)
def test_where_it_stops(text: str, rest: str | None) -> None:
    with pytest.raises(CapsError) as error:
        MonCaps.parse(text)
    stop = f"end of '{text}'" if rest is None else f"'{rest}' of '{text}'"
    assert str(error.value) == f"mon capability parse failed, stopped at {stop}"


@given(st.text(alphabet="alowrx*profieserv cmandbth=\"'.,;/-_gn0", max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        caps = MonCaps.parse(text)
    except CapsError:
        return
    caps.is_capable(ALICE, "mon", "", {}, "r", HERE)


def test_blanket() -> None:
    assert may("allow *", "config-key", "rwx")
    assert may("allow rw", "mon", "rw")
    assert not may("allow r", "mon", "rw")
    assert may("allow r, allow w", "osd", "rw")
    assert not may("allow rwx", "config-key", "r")


def test_service_and_command() -> None:
    assert may("allow service mon r", "mon", "r")
    assert not may("allow service mon r", "osd", "r")
    assert may("allow command foo", "osd", "rwx", "foo")
    assert not may("allow command foo", "osd", "r", "foo bar")
    assert not may("allow command foo", "osd", "r")
    caps = 'allow command foo with a=1 b prefix x/ c regex "[0-9]+"'
    good = {"a": "1", "b": "x/y", "c": "42"}
    assert may(caps, "mon", "rw", "foo", good)
    assert not may(caps, "mon", "rw", "foo", {**good, "a": "2"})
    assert not may(caps, "mon", "rw", "foo", {**good, "b": "y"})
    assert not may(caps, "mon", "rw", "foo", {**good, "c": "4x"})
    assert not may(caps, "mon", "rw", "foo", {"a": "1", "b": "x/y"})
    assert not may('allow command foo with a regex "("', "mon", "r", "foo", {"a": "("})


def test_profiles() -> None:
    mds = "allow profile mds"
    assert may(mds, "mds", "rwx", name=MDS_A)
    assert may(mds, "log", "w", name=MDS_A)
    assert may(mds, "osd", "r", name=MDS_A)
    assert not may(mds, "osd", "rw", "osd pool create", name=MDS_A)
    assert may(mds, "osd", "rw", "osd blocklist", name=MDS_A)
    own, other = {"key": "daemon-private/mds.a/k"}, {"key": "daemon-private/mds.b/k"}
    assert may(mds, "config-key", "rw", "config-key set", own, name=MDS_A)
    assert not may(mds, "config-key", "rw", "config-key set", other, name=MDS_A)
    assert not may("profile no-such", "mon", "r")
    fence = {"blocklistop": "add", "addr": "1.2.3.4:0/5"}
    assert may("profile rbd", "osd", "rw", "osd blocklist", fence)
    assert not may("profile rbd", "osd", "rw", "osd blocklist", {**fence, "blocklistop": "rm"})
    boot, create = "profile bootstrap-mds", "auth get-or-create"
    good = {
        "entity": "mds.x",
        "caps_mon": "allow profile mds",
        "caps_osd": "allow rwx",
        "caps_mds": "allow",
    }
    assert may(boot, "auth", "rwx", create, good)
    assert not may(boot, "auth", "rwx", create, {**good, "entity": "client.x"})
    assert not may(boot, "auth", "rwx", create, {**good, "caps_mds": "allow *"})


def test_network() -> None:
    assert may("allow r network 10.0.0.0/8", "mon", "r")
    assert not may("allow r network 10.9.0.0/16", "mon", "r")
    assert not may("allow * network 10.0.0.0", "mon", "r")
    assert not may("allow r network 10.0.0.0/8", "mon", "r", addr=None)


def test_file_systems() -> None:
    caps = MonCaps.parse("allow r fsname=a, allow rw fsname=b")
    assert caps.allowed_fs_names() == ["a", "b"]
    assert caps.fs_name_capable(ALICE, "a", "r")
    assert not caps.fs_name_capable(ALICE, "a", "w")
    assert not caps.fs_name_capable(ALICE, "c", "r")
    assert MonCaps.parse("allow r fsname=a, allow r").allowed_fs_names() == []
    assert MonCaps.parse("allow *").fs_name_capable(ALICE, "c", "w")
    assert MonCaps.parse("profile mds").fs_name_capable(MDS_A, "c", "w")
    assert not MonCaps.parse("allow * fsname=a").is_allow_all()


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ("mgr", "allow *"),
        ("mgr", "allow profile mds"),
        ("mgr", "profile rbd pool=x namespace = y"),
        ("mgr", 'allow module volumes with cmd=x rw, allow command "fs ls"'),
        ("osd", "allow rw tag cephfs *=*"),
        ("mds", "allow rw path=/a"),
    ],
)
def test_caps_of_other_services(service: str, text: str) -> None:
    auth_caps.validate(service, text)


@pytest.mark.parametrize("service", ["mgr", "osd", "mds", "mon", "nix"])
def test_bad_caps_of_any_service(service: str) -> None:
    with pytest.raises(CapsError):
        auth_caps.validate(service, "permit everything")
