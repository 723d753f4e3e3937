"""Just enough of msgr2 to speak it wrongly, written apart from the package that it is used against.

Format: ceph/ceph, src/msg/async/frames_v2.h and doc/dev/msgr2.rst (Pacific), revision 1, crc mode.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Self

import crc32c

HELLO, AUTH_REQUEST, AUTH_BAD_METHOD, AUTH_REQUEST_MORE, AUTH_DONE = 1, 2, 3, 5, 6
CLIENT_IDENT, SESSION_RECONNECT, MESSAGE, KEEPALIVE2, ACK = 8, 11, 17, 18, 20
CLIENT = 8  # the entity type of a client

BANNER = b"ceph v2\n" + struct.pack("<HQQ", 16, 1, 0)  # revision 1 supported, nothing required


def crc(seed: int, data: bytes) -> int:
    """Ceph's crc32c, which neither inverts its seed nor its result."""
    return crc32c.crc32c(data, seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def preamble(tag: int, lengths: Sequence[int], segments: int | None = None) -> bytes:
    """32 bytes with a right checksum, whatever they say."""
    entries = b"".join(
        struct.pack("<IH", lengths[i] if i < len(lengths) else 0, 8) for i in range(4)
    )
    head = struct.pack("<BB", tag, len(lengths) if segments is None else segments) + entries
    head += b"\0\0"
    return head + struct.pack("<I", crc(0, head))


def frame(tag: int, *segments: bytes) -> bytes:
    """A whole frame in crc mode; the first segment carries its own checksum."""
    data = preamble(tag, [len(s) for s in segments])
    if segments[0]:
        data += segments[0] + struct.pack("<I", crc(0xFFFFFFFF, segments[0]))
    if len(segments) > 1:
        rest = segments[1:]
        data += b"".join(rest)
        sums = [crc(0xFFFFFFFF, s) for s in rest] + [0] * (3 - len(rest))
        data += struct.pack("<BIII", 0x0E, *sums)  # late status: complete
    return data


def entity_addr(host: str = "127.0.0.1", port: int = 0) -> bytes:
    """entity_addr_t of type msgr2."""
    sockaddr = struct.pack("<H", socket.AF_INET) + struct.pack(">H", port)
    sockaddr += socket.inet_aton(host) + bytes(8)
    body = struct.pack("<III", 2, 0, len(sockaddr)) + sockaddr
    return b"\x01" + struct.pack("<BBI", 1, 1, len(body)) + body


def hello(entity_type: int = CLIENT) -> bytes:
    return frame(HELLO, bytes([entity_type]) + entity_addr())


def auth_request(method: int, payload: bytes, modes: Sequence[int] = (1,)) -> bytes:
    body = struct.pack(f"<II{len(modes)}I", method, len(modes), *modes)
    return frame(AUTH_REQUEST, body + struct.pack("<I", len(payload)) + payload)


def message_header(message_type: int) -> bytes:
    """ceph_msg_header2: seq, tid, type, priority, version, data lengths, ack, flags, compat."""
    return struct.pack("<QQHHHIHQBHH", 1, 0, message_type, 127, 1, 0, 0, 0, 0, 1, 0)


class RawPeer:
    """A blocking TCP connection to one daemon."""

    def __init__(self, address: tuple[str, int], timeout: float = 10) -> None:
        self.sock = socket.create_connection(address, timeout)
        self.name = "{}:{}".format(*self.sock.getsockname())

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self.sock.recv(length - len(data))
            if not piece:
                raise ConnectionResetError(f"closed after {len(data)} of {length} bytes")
            data += piece
        return data

    def exchange_banners(self) -> None:
        self.send(BANNER)
        (length,) = struct.unpack("<8xH", self.read(10))
        self.read(length)

    def read_frame(self) -> tuple[int, bytes]:
        """Tag and first segment of the next frame (those of the handshake have no more)."""
        head = self.read(32)
        length = struct.unpack_from("<I", head, 2)[0]
        payload = self.read(length)
        if length:
            self.read(4)
        return head[0], payload

    def greet(self, entity_type: int = CLIENT) -> None:
        """Banners and HELLOs both ways."""
        self.exchange_banners()
        self.send(hello(entity_type))
        assert self.read_frame()[0] == HELLO

    def is_closed(self, timeout: float) -> bool:
        """Whether the other side closes within ``timeout`` s; what it still sends is read."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
