"""Commands: descriptions, arguments, who may give which, and what a mistake is answered."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest
from tests.unit.embedded_mon_kit import FSID, Mon

from mdsdaemon.embedded.monitor.commands import (
    FLAG_OBSOLETE,
    Args,
    Command,
    CommandContext,
    CommandError,
    CommandResult,
    CommandTable,
    command,
    describe,
)
from mdsdaemon.messages.mon import MMonCommand, MMonCommandAck
from mdsdaemon.types.entity import EntityAddrVec


@pytest.fixture(scope="module")
def mon() -> Mon:
    return Mon()


class Room:
    """A room of commands."""

    @command("a b name=x,type=CephString", module="mon", perm="r", about="one")
    @command("a c name=x,type=CephInt,range=0|9,req=false", module="osd", perm="rw")
    def a(self, ctx: CommandContext, args: Args) -> CommandResult:
        return CommandResult(0, ctx.prefix)


def test_descriptions() -> None:
    table = CommandTable()
    table.add(Room())
    shown = json.loads(describe(table))
    assert sorted(shown) == ["cmd000", "cmd001"]
    by_words = {tuple(c["sig"][:2]): c for c in shown.values()}
    assert by_words["a", "b"] == {
        "sig": ["a", "b", {"name": "x", "type": "CephString"}],
        "help": "one",
        "module": "mon",
        "perm": "r",
        "flags": 0,
    }
    assert by_words["a", "c"]["sig"][2] == {
        "name": "x",
        "range": "0|9",
        "req": "false",
        "type": "CephInt",
    }
    with pytest.raises(ValueError, match="twice"):
        table.add(Room())


@pytest.mark.parametrize(
    ("desc", "args"),
    [
        ("c name=x,type=CephString", {"x": "a"}),
        ("c name=x,type=CephString", {"x": "a", "y": ["not", "looked", "at"]}),
        ("c name=x,type=CephInt", {"x": "12"}),
        ("c name=x,type=CephFloat", {"x": "1.5"}),
        ("c name=x,type=CephFloat", {"x": 1}),
        ("c name=x,type=CephBool,req=false", {"x": "--x"}),
        ("c name=x,type=CephOsdName", {"x": 0}),
        ("c name=x,type=CephOsdName", {"x": "osd.0"}),
        ("c name=x,type=CephString,req=False", {}),
        ("c name=x,type=CephString,n=N", {}),
        ("c name=x,type=CephString,n=N", {"x": ["a", "b"]}),
        ("c name=x,type=CephChoices,strings=a|b", {"x": "b"}),
    ],
)
def test_good_arguments(desc: str, args: dict[str, Any]) -> None:
    Command(desc, "mon", "r").validate(Args(args))


@pytest.mark.parametrize(
    ("desc", "args", "text"),
    [
        ("c name=x,type=CephString", {}, "missing required parameter: 'x'"),
        ("c name=x,type=CephOsdName", {}, "missing required parameter: 'x'"),
        ("c name=x,type=CephInt", {"x": "a"}, "bad or missing field 'x'"),
        ("c name=x,type=CephInt,range=0|9", {"x": 10}, "'10' out of range: [0,9]"),
        ("c name=x,type=CephFloat", {"x": "much"}, "bad or missing field 'x'"),
        ("c name=x,type=CephString,n=N", {"x": "a"}, "bad or missing field 'x'"),
        ("c name=x,type=CephChoices,strings=a|b", {"x": "c"}, "'c' not belong to 'a|b'"),
    ],
)
def test_bad_arguments(desc: str, args: dict[str, Any], text: str) -> None:
    with pytest.raises(CommandError) as error:
        Command(desc, "mon", "r").validate(Args(args))
    assert (error.value.errno, error.value.text) == (errno.EINVAL, text)


@pytest.mark.parametrize(
    ("cmd", "r", "text"),
    [
        ([], errno.EINVAL, "no command specified"),
        ([""], errno.EINVAL, "unparseable JSON "),
        (["{"], errno.EINVAL, "unparseable JSON {"),
        (["[1]"], errno.EINVAL, "not JSON object [1]"),
        (["{}"], errno.EINVAL, "command prefix not found"),
        (['{"prefix": ""}'], errno.EINVAL, "command prefix must not be empty"),
        (['{"prefix": 3}'], errno.EINVAL, "command prefix must not be empty"),
        (['{"prefix": "nonsense"}'], errno.EINVAL, "command not known"),
        (['{"prefix": "mon"}'], errno.EINVAL, "command not known"),
        (
            ['{"prefix": "scrub"}'],
            errno.EOPNOTSUPP,
            "command is obsolete; please check usage and/or man page",
        ),
        (['{"prefix": "auth get"}'], errno.EINVAL, "missing required parameter: 'entity'"),
    ],
)
def test_mistakes(mon: Mon, cmd: list[str], r: int, text: str) -> None:
    result = mon.mon.command_handler.run(mon.session(), cmd)
    assert (result.r, result.outs, result.outb) == (-r, text, b"")


def test_a_command_in_parts(mon: Mon) -> None:
    result = mon.mon.command_handler.run(mon.session(), ['{"prefix":', '"fsid"}'])
    assert result == CommandResult(0, "", f"{FSID}\n".encode())


def test_a_foreign_cluster_is_refused(mon: Mon) -> None:
    session = mon.session()
    mon.mon.command_handler.handle_command(session, MMonCommand(cmd=['{"prefix": "fsid"}'], tid=7))
    (ack,) = session.heard
    assert isinstance(ack, MMonCommandAck)
    assert (ack.r, ack.rs, ack.tid) == (-errno.EPERM, "wrong fsid", 7)


@pytest.mark.parametrize(
    ("caps", "prefix", "args", "allowed"),
    [
        ("allow r", "status", {}, True),
        ("allow r", "auth get", {"entity": "client.admin"}, False),
        ("allow rx", "auth get", {"entity": "client.admin"}, True),
        ("allow rw", "config set", {"who": "mds", "name": "debug_mds", "value": "1"}, True),
        ("allow r", "config set", {"who": "mds", "name": "debug_mds", "value": "1"}, False),
        ("allow rwx", "config-key ls", {}, False),
        ("allow *", "config-key ls", {}, True),
        ("allow service config-key r", "config-key ls", {}, True),
        ("allow command health", "health", {}, True),
        ("allow command health", "status", {}, False),
        (
            'allow command "auth get" with entity=client.b',
            "auth get",
            {"entity": "client.a"},
            False,
        ),
        (
            "profile bootstrap-mds",
            "auth get-or-create",
            {
                "entity": "mds.boot",
                "caps": ["mon", "allow profile mds", "osd", "allow rwx", "mds", "allow"],
            },
            True,
        ),
        (
            "profile bootstrap-mds",
            "auth get-or-create",
            {"entity": "mds.boot2", "caps": ["mon", "allow *", "osd", "allow rwx", "mds", "allow"]},
            False,
        ),
    ],
)
def test_who_may(mon: Mon, caps: str, prefix: str, args: dict[str, Any], allowed: bool) -> None:
    result = mon.run(prefix, mon.session("client.x", caps), **args)
    assert result.r == (0 if allowed else -errno.EACCES), result
    if not allowed:
        assert result.outs == "access denied"


def test_commands_are_in_the_audit_log(mon: Mon) -> None:
    session = mon.session("client.x", "allow r")

    class Con:
        peer_name = None
        peer_addrs = EntityAddrVec.parse("v2:10.0.0.9:0/5")

    session.con = Con()  # type: ignore[assignment]
    with mon.mon.transactions.transaction():
        mon.mon.command_handler.run(session, ['{"prefix": "health"}'])
        mon.mon.command_handler.run(session, ['{"prefix": "log", "logtext": ["x"]}'])
    lines = [e["message"] for e in mon.json("log last", level="debug", channel="audit")]
    head = "from='client.? v2:10.0.0.9:0/5' entity='client.x' "
    assert head + 'cmd=[{"prefix": "health"}]: dispatch' in lines
    assert head + 'cmd=[{"prefix": "log", "logtext": ["x"]}]:  access denied' in lines


def test_formats(mon: Mon) -> None:
    assert mon.text("fsid") == f"{FSID}\n"
    assert mon.text("fsid", format="json") == f'{{"fsid":"{FSID}"}}'
    assert mon.text("fsid", format="json-pretty") == f'{{\n    "fsid": "{FSID}"\n}}\n'
    assert mon.text("fsid", format="xml") == f"<fsid><fsid>{FSID}</fsid></fsid>"
    assert mon.text("fsid", format="no such") == f"{FSID}\n"
    assert mon.text("versions", format="no such").startswith('{\n    "mon"')


def test_a_bug_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    mon = Mon()

    class Broken:
        @command("broken", module="mon", perm="r")
        def broken(self, ctx: CommandContext, args: Args) -> CommandResult:
            raise ZeroDivisionError

    mon.mon.commands.add(Broken())
    result = mon.run("broken")
    assert result.r == -errno.EIO
    assert "ZeroDivisionError" in caplog.text


def test_every_description_is_sound(mon: Mon) -> None:
    for item in mon.mon.commands:
        assert item.prefix
        assert set(item.perm) <= set("rwx")
        assert item.perm
        assert item.help or item.flags & FLAG_OBSOLETE, item.desc
