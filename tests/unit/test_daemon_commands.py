"""Descriptions, arguments and the writing of answers, as a live ceph-mds 16.2.15 has them."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree as ET

import cbor2
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.daemon.commands.executor import CommandExecutor
from mdsdaemon.daemon.commands.table import (
    ADMIN_SOCKET_COMMANDS,
    CONTEXT_COMMANDS,
    MDS_COMMANDS,
    Command,
    CommandTable,
)
from mdsdaemon.messages.cmdparse import (
    BadCmdGet,
    CmdMap,
    CommandError,
    cmdmap_from_json,
    get_bool,
    get_float,
    get_int,
    get_str,
    get_strings,
    parse_signature,
)
from mdsdaemon.messages.formatter import NamedList, Reply, Result, cpp_strerror, dump


def test_signature_is_taken_apart() -> None:
    sig = parse_signature(
        "scrub start name=path,type=CephString "
        "name=scrubops,type=CephChoices,strings=force|recursive|repair,n=N,req=false"
    )
    assert sig.prefix == "scrub start"
    assert sig.sig() == [
        "scrub",
        "start",
        {"name": "path", "type": "CephString"},
        {
            "n": "N",
            "name": "scrubops",
            "req": "false",
            "strings": "force|recursive|repair",
            "type": "CephChoices",
        },
    ]
    assert list(sig.sig()[3]) == ["n", "name", "req", "strings", "type"], "keys are sorted"


def test_bad_signatures_are_ours_to_mend() -> None:
    with pytest.raises(ValueError, match="needs name= and type="):
        parse_signature("foo name=x")


@pytest.mark.parametrize(
    ("desc", "args", "why"),
    [
        ("c name=v,type=CephString", {"v": "x"}, None),
        ("c name=v,type=CephString", {}, "missing required parameter: 'v'"),
        ("c name=v,type=CephString,req=false", {}, None),
        ("c name=v,type=CephString", {"v": 5}, "field 'v'"),
        ("c name=v,type=CephString", {"v": True}, "field 'v'"),
        ("c name=v,type=CephString", {"v": ["a"]}, "field 'v'"),
        ("c name=v,type=CephString,n=N", {"v": ["a", "b"]}, None),
        ("c name=v,type=CephString,n=N", {}, None),
        ("c name=v,type=CephString,n=N", {"v": "a"}, "field 'v'"),
        ("c name=v,type=CephString,n=N", {"v": [1]}, "field 'v'"),
        ("c name=v,type=CephInt", {"v": 5}, None),
        ("c name=v,type=CephInt", {"v": "5"}, None),
        ("c name=v,type=CephInt", {"v": "x"}, "field 'v'"),
        ("c name=v,type=CephInt", {"v": 1 << 70}, "field 'v'"),
        ("c name=v,type=CephInt,range=0", {"v": 0}, None),
        ("c name=v,type=CephInt,range=0", {"v": -1}, "out of range"),
        ("c name=v,type=CephInt,range=1|4", {"v": 4}, None),
        ("c name=v,type=CephInt,range=1|4", {"v": 5}, "out of range"),
        ("c name=v,type=CephFloat,range=0|1", {"v": 0.5}, None),
        ("c name=v,type=CephFloat,range=0|1", {"v": 2.5}, "out of range"),
        ("c name=v,type=CephBool,req=false", {"v": True}, None),
        ("c name=v_w,type=CephBool", {"v_w": "--v-w"}, None),
        ("c name=v,type=CephBool", {"v": "maybe"}, "field 'v'"),
        ("c name=v,type=CephChoices,strings=a|b", {"v": "b"}, None),
        ("c name=v,type=CephChoices,strings=a|b", {"v": "c"}, "not belong to"),
        ("c name=v,type=CephChoices,strings=a|b,n=N", {"v": ["a", "c"]}, "not belong to"),
        ("c", {"unknown": "ignored"}, None),
    ],
)
def test_validation(desc: str, args: CmdMap, why: str | None) -> None:
    if why is None:
        parse_signature(desc).validate(args)
    else:
        with pytest.raises(CommandError, match=why):
            parse_signature(desc).validate(args)


@pytest.mark.parametrize(
    "text",
    [
        *("status", "[]", "5", "", "{", "[" * 9999),
        *('{"a":null}', '{"a":{}}', '{"a":[[]]}', '{"a":[true]}', '{"a":NaN}'),
        *('{"a":[1,"b"]}', '{"a":[1,2.5]}'),
    ],
)
def test_not_a_command(text: str) -> None:
    with pytest.raises(CommandError):
        cmdmap_from_json([text])


def test_parts_are_joined() -> None:
    assert cmdmap_from_json(['{"prefix": ', '"status", "n": [1, 2], "x": []}']) == {
        "prefix": "status",
        "n": [1, 2],
        "x": [],
    }


@given(st.text(max_size=200))
def test_parsing_raises_nothing_else(text: str) -> None:
    with suppress(CommandError):
        cmdmap_from_json([text])


def test_getters() -> None:
    m: CmdMap = {"s": "x", "i": 5, "f": 2.5, "b": True, "l": ["a"], "d": " 12"}
    assert (get_str(m, "s"), get_int(m, "i"), get_float(m, "f")) == ("x", 5, 2.5)
    assert (get_bool(m, "b"), get_strings(m, "l"), get_int(m, "d")) == (True, ["a"], 12)
    assert [g(m, "none") for g in (get_str, get_int, get_float, get_bool, get_strings)] == [
        None
    ] * 5
    wrong: list[tuple[Callable[[CmdMap, str], Any], str]] = [
        (get_str, "i"),
        (get_int, "b"),
        (get_float, "b"),
        (get_bool, "i"),
        (get_strings, "s"),
    ]
    for getter, key in wrong:
        with pytest.raises(BadCmdGet):
            getter(m, key)


def test_tables_have_what_a_live_daemon_has() -> None:
    everything = [c for t in (ADMIN_SOCKET_COMMANDS, CONTEXT_COMMANDS, MDS_COMMANDS) for c in t]
    assert len(everything) == 73
    # A second command of one prefix stands before the first, as in Ceph.
    assert [len(c.signature.args) for c in MDS_COMMANDS.find("session ls")] == [1, 2]
    hidden = {c.prefix for c in everything if not c.help}
    assert hidden == {
        *("0", "1", "2", "abort", "assert", "leak_some_memory"),
        *("perfcounters_dump", "perfcounters_schema"),
    }
    daemons_own = {c.prefix for c in MDS_COMMANDS if not c.rank}
    assert daemons_own == {"status", "exit", "respawn", "heap", "cpu_profiler"}


DATA = {"status": "ok", "n": 5, "x": 1.5, "yes": True, "list": NamedList("osd", [1, {"a": "<&>"}])}


def test_formats() -> None:
    assert dump("s", DATA, "json") == (
        b'{"status":"ok","n":5,"x":1.5,"yes":true,"list":[1,{"a":"<&>"}]}'
    )
    pretty = dump("s", {"a": {}, "b": [1]}, "json-pretty")
    assert pretty == b'{\n    "a": {},\n    "b": [\n        1\n    ]\n}\n'
    for unknown in ("", "plain", "nonsense"):
        assert dump("s", {"a": {}, "b": [1]}, unknown) == pretty
    assert cbor2.loads(dump("s", DATA, "cbor")) == DATA
    assert dump("s", {"u": "é"}, "json") == '{"u":"é"}'.encode()
    xml = dump("perf dump", DATA, "xml")
    root = ET.fromstring(xml.decode())
    assert (root.tag, root.findtext("n"), root.findtext("yes")) == ("perf_dump", "5", "true")
    assert [e.tag for e in root.find("list") or []] == ["osd", "osd"]
    assert root.findtext("list/osd/a") == "<&>"
    assert ET.fromstring(dump("s", DATA, "xml-pretty").decode()).findtext("x") == "1.5"


def test_strerror() -> None:
    assert cpp_strerror(-22) == "(22) Invalid argument"
    assert cpp_strerror(38) == "(38) Function not implemented"


TABLE = CommandTable(
    "test",
    [
        Command("echo name=text,type=CephString", "say it"),
        Command("later name=n,type=CephInt,req=false", "await it"),
        Command("fail", "an error"),
        Command("odd", "bad get"),
        Command("unwritable", "not to be written"),
        Command("hidden", ""),
    ],
)


def serve(prefix: str, cmdmap: CmdMap, inbl: bytes) -> Any:
    async def later() -> Reply:
        await trio.lowlevel.checkpoint()
        return Reply(out=inbl)

    match prefix:
        case "echo":
            return Reply(section="echo", data={"text": cmdmap["text"]})
        case "later":
            return later()
        case "fail":
            return Reply(r=-38, error="no", section="x", data={"error": "mds_not_active"})
        case "odd":
            raise BadCmdGet("field")
        case "unwritable":
            return Reply(section="x", data={"x": object()})
    raise AssertionError(prefix)


def run(executor: CommandExecutor, cmd: str, inbl: bytes = b"") -> Result:
    return trio.run(executor.execute, [cmd], inbl)


@pytest.mark.parametrize(
    ("cmd", "r", "error", "out"),
    [
        ('{"prefix":"echo","text":"hi","format":"json"}', 0, "", b'{"text":"hi"}'),
        ('{"prefix":"echo","text":"hi"}', 0, "", b'{\n    "text": "hi"\n}\n'),
        ('{"prefix":"later"}', 0, "", b"input"),
        ('{"prefix":"fail"}', -38, "no", b""),
        ('{"prefix":"echo"}', -22, "invalid command json: missing required parameter: 'text'", b""),
        ('{"prefix":"nope"}', -22, "unknown command prefix nope", b""),
        ('{"prefix":"echo "}', -22, "unknown command prefix echo ", b""),
        ("{}", -22, "unknown command prefix ", b""),
        ("nonsense", -22, "invalid json: unparseable JSON nonsense", b""),
        ('{"prefix":5}', -22, "invalid json, missing format and/or prefix", b""),
        (
            '{"prefix":"echo","format":[]}',
            -22,
            "invalid json, missing format and/or prefix",
            b"",
        ),
        ('{"prefix":"odd"}', -22, "bad or missing field 'field'", b""),
    ],
)
def test_execute(cmd: str, r: int, error: str, out: bytes) -> None:
    executor = CommandExecutor()
    executor.register_commands(TABLE, serve)
    assert run(executor, cmd, b"input") == Result(r, error, out)


def test_an_answer_that_cannot_be_written_is_an_error() -> None:
    executor = CommandExecutor()
    executor.register_commands(TABLE, serve)
    assert run(executor, '{"prefix":"unwritable"}').r == -5
    lone = run(executor, '{"prefix":"echo","text":"\\ud800"}')
    assert (lone.r, lone.out) == (-5, b"")


@given(st.text(max_size=60))
def test_execute_raises_nothing(text: str) -> None:
    executor = CommandExecutor()
    executor.register_commands(TABLE, serve)
    result = run(executor, json.dumps({"prefix": "echo", "text": text, "format": "json"}))
    if result.r == 0:
        assert json.loads(result.out) == {"text": text}


def test_groups_come_and_go() -> None:
    executor = CommandExecutor()
    executor.register_commands(ADMIN_SOCKET_COMMANDS, serve)
    executor.register_commands(TABLE, serve)
    with pytest.raises(ValueError, match="registered already"):
        executor.register_commands(TABLE, serve)
    assert "hidden" not in executor.help()
    assert executor.help()["echo"] == "say it"
    listed = executor.descriptions()
    assert [d["sig"][0] for d in listed.values()] == sorted(d["sig"][0] for d in listed.values())
    assert listed["cmd000"] == {"sig": ["0"], "help": ""}
    executor.unregister_commands(TABLE)
    assert "echo" not in executor.help()
    assert run(executor, '{"prefix":"echo","text":""}').error == "unknown command prefix echo"
