"""What a test asks of a cluster: quick monitor commands, `tell`, and admin sockets."""

import json
import socket
import struct
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's python3-rados and python3-cephfs belong to it


class CommandError(Exception):
    """A command's negative result: ``r`` (-errno), with what it printed and said."""

    def __init__(self, what: object, r: int, out: str, err: str) -> None:
        super().__init__(f"{what}: {r} {err} {out[:500]}")
        self.r, self.out, self.err = r, out, err


@dataclass(frozen=True)
class Reply:
    """A command's result: ``r`` is 0 or -errno, ``out`` its output, ``err`` its status text."""

    r: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class AdminConnection:
    """An open connection to the monitors, and to the MDSs through libcephfs, under one name."""

    def __init__(self, conf: Path, name: str, env: dict[str, str], stderr: Path) -> None:
        server = Path(__file__).with_name("admin_server.py")
        self._lock = threading.Lock()
        with stderr.open("ab") as log:
            self._proc = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", SYSTEM_PYTHON, str(server), str(conf), name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=env,
                text=True,
            )
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> Reply:
        assert self._proc.stdout is not None
        line = self._proc.stdout.readline()
        if not line:
            raise RuntimeError("the connection of the tests to the cluster ended; see admin.err")
        return Reply(**json.loads(line))

    def _ask(self, **request: object) -> Reply:
        with self._lock:
            assert self._proc.stdin is not None
            self._proc.stdin.write(json.dumps(request) + "\n")
            self._proc.stdin.flush()
            return self._read()

    def mon(self, prefix: str, /, **arguments: object) -> Reply:
        """One monitor command, its output as JSON where the monitor offers that."""
        return self._ask(op="mon", target="", cmd={"prefix": prefix, "format": "json", **arguments})

    def tell(self, target: str, prefix: str, /, **arguments: object) -> Reply:
        """One command to the MDS ``target`` (a name, a gid or a rank), as `ceph tell` sends it."""
        cmd = {"prefix": prefix, "format": "json", **arguments}
        return self._ask(op="tell", target=target, cmd=cmd)

    def forget(self) -> None:
        """Leave the connections to MDSs; the next ``tell`` begins anew."""
        self._ask(op="forget", target="", cmd={})

    def close(self) -> None:
        self._proc.kill()
        self._proc.wait()
        for pipe in (self._proc.stdin, self._proc.stdout):
            if pipe is not None:
                pipe.close()


def asok(path: Path, prefix: str, /, *, timeout: float = 10, **arguments: object) -> bytes:
    """The raw reply of the admin socket at ``path`` to one command.

    Format: a JSON object and NUL there, a big-endian u32 length and that many bytes back
    (ceph/ceph, src/common/admin_socket.cc). OSError when the socket is not there or too slow.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(str(path))
        sock.sendall(json.dumps({"prefix": prefix, **arguments}).encode() + b"\0")
        (length,) = struct.unpack(">I", _exactly(sock, 4))
        return _exactly(sock, length)


def _exactly(sock: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = sock.recv(min(65536, length - len(data)))
        if not piece:
            raise ConnectionResetError(f"admin socket closed after {len(data)} of {length} bytes")
        data += piece
    return bytes(data)
