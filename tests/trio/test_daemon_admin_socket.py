"""The admin socket on a real unix socket: requests, limits, stale files, permissions."""

import json
import logging
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mdsdaemon.daemon import admin_socket as module
from mdsdaemon.daemon.admin_socket import MAX_CLIENTS, AdminSocket, AdminSocketError
from mdsdaemon.daemon.commands.executor import CommandExecutor
from mdsdaemon.daemon.commands.table import Command, CommandTable
from mdsdaemon.messages.formatter import Reply

LOG = logging.getLogger("test.asok")
TABLE = CommandTable(
    "test",
    [Command("0", ""), Command("echo name=text,type=CephString", "echo"), Command("hang", "hang")],
)


def serve(prefix: str, cmdmap: Any, inbl: bytes) -> Any:
    if prefix == "0":
        return Reply(out=b"2")
    if prefix == "hang":
        return _hang()
    return Reply(section="echo", data={"text": cmdmap["text"]})


async def _hang() -> Reply:
    await trio.sleep_forever()
    raise AssertionError


@asynccontextmanager
async def an_admin_socket(path: Path, **options: Any) -> AsyncIterator[AdminSocket]:
    executor = CommandExecutor()
    executor.register_commands(TABLE, serve)
    asok = AdminSocket(str(path), executor, log=LOG, **options)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(asok.run)
            yield asok
            nursery.cancel_scope.cancel()


async def ask(path: Path, request: bytes) -> bytes | None:
    """The body of the answer; None when the connection ends without one."""
    stream = await trio.open_unix_socket(str(path))
    async with stream:
        raw = b""
        try:
            await stream.send_all(request)
            async for part in stream:
                raw += part
        except trio.BrokenResourceError:
            return None
    if not raw:
        return None
    (length,) = struct.unpack(">I", raw[:4])
    assert length == len(raw) - 4
    return raw[4:]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b'{"prefix":"echo","text":"x","format":"json"}\0', b'{"text":"x"}'),
        (b'{"prefix":"echo","text":"x","format":"json"}\n', b'{"text":"x"}'),
        (b'{"prefix":"0"}\nrest is not looked at', b"2"),
        (b"\0\0\0\0", b"2"),
        (b"\0\0\0\7", b"ERROR: (22) Invalid argument\nunknown command prefix foo\n"),
        (b'{"prefix":"nope"}\0', b"ERROR: (22) Invalid argument\nunknown command prefix nope\n"),
        (b"\n", b"ERROR: (22) Invalid argument\ninvalid json: unparseable JSON \n"),
    ],
)
async def test_requests(tmp_path: Path, request_: bytes, answer: bytes) -> None:
    async with an_admin_socket(tmp_path / "a"):
        assert await ask(tmp_path / "a", request_) == answer


@pytest.mark.parametrize(("size", "taken"), [(1022, True), (1023, True), (1024, False)])
async def test_longest_request_is_that_of_ceph(tmp_path: Path, size: int, taken: bool) -> None:
    request = b'{"prefix":"0"' + b" " * (size - 14) + b"}"
    assert len(request) == size
    async with an_admin_socket(tmp_path / "a"):
        assert await ask(tmp_path / "a", request + b"\0") == (b"2" if taken else None)


async def test_request_in_pieces_and_many_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    answers: list[str] = []

    async def one(number: int) -> None:
        stream = await trio.open_unix_socket(str(path))
        async with stream:
            text = json.dumps({"prefix": "echo", "text": str(number), "format": "json"}) + "\0"
            for byte in text.encode():
                await stream.send_all(bytes([byte]))
            raw = b""
            async for part in stream:
                raw += part
            answers.append(json.loads(raw[4:])["text"])

    async with an_admin_socket(path), trio.open_nursery() as nursery:
        for number in range(3 * MAX_CLIENTS):
            nursery.start_soon(one, number)
    assert sorted(map(int, answers)) == list(range(3 * MAX_CLIENTS))


async def test_silent_client_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "REQUEST_TIMEOUT", 0.05)
    async with an_admin_socket(tmp_path / "a"):
        assert await ask(tmp_path / "a", b'{"prefix":') is None
    assert "not ended within" in caplog.text


async def test_a_hanging_command_leaves_room_for_others(tmp_path: Path) -> None:
    path = tmp_path / "a"
    async with an_admin_socket(path):
        stream = await trio.open_unix_socket(str(path))
        await stream.send_all(b'{"prefix":"hang"}\0')
        assert await ask(path, b'{"prefix":"0"}\0') == b"2"
        await stream.aclose()


async def test_file_permissions_and_removal(tmp_path: Path) -> None:
    path = tmp_path / "a"
    async with an_admin_socket(path, mode=0o600, owner=(os.getuid(), os.getgid())):
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not path.exists()


async def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    async with an_admin_socket(path):
        assert await ask(path, b'{"prefix":"0"}\0') == b"2"
    assert not path.exists()


async def test_living_daemons_socket_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "a"
    async with an_admin_socket(path):
        second = AdminSocket(str(path), CommandExecutor(), log=LOG)
        with pytest.raises(AdminSocketError, match="belongs to a daemon that is running"):
            await second.bind()
        second.close()
        assert await ask(path, b'{"prefix":"0"}\0') == b"2"


async def test_a_replaced_file_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    async with an_admin_socket(path):
        path.unlink()
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"


@pytest.mark.parametrize(
    ("name", "why"),
    [("x" * 120, "longer than the 107 bytes"), ("none/a", "No such file"), ("file", "no socket")],
)
async def test_unusable_paths(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AdminSocketError, match=why):
        await AdminSocket(str(tmp_path / name), CommandExecutor(), log=LOG).bind()
