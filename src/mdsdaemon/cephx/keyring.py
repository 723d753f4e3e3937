"""Keyrings: files with the keys of entities.

    [mds.a]
        key = AQA2rgNrCm0JGRAAk/pGvH0rpInxmNYl+deWCQ==
        caps mds = "allow"

Unlike Ceph's reader, this one takes ``;`` and ``#`` inside quotes as they are (ceph-authtool
writes them so, and then cannot read them) and section heads that are indented.

Format: ceph/ceph, src/auth/KeyRing.cc, src/common/ConfUtils.cc (Pacific)
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

from mdsdaemon.cephx.auth import EntityAuth
from mdsdaemon.cephx.crypto import CryptoKey
from mdsdaemon.encoding import DecodeError, Str, encode
from mdsdaemon.records import define, field
from mdsdaemon.types.entity import TYPES_BY_NAME, EntityName

MAX_KEYRING_SIZE: Final = 64 << 20
"""Bytes; a keyring of a hundred thousand entities has less."""

_HEADING: Final = re.compile(r"\[([^\]]*)\]\s*(?:[#;].*)?$")
_QUOTES: Final = ("'", '"')
_NO_TEXT: Final = re.compile(r"[\0-\x08\n\x0e-\x1f]")
_PLAIN: Final = re.compile(r'"([^"\\]*)"|([^"\'#;\\][^#;\\]*)')
"""A value with nothing in it that has to be looked at char by char."""


class KeyringError(Exception):
    """A keyring or key that cannot be used: what, in which file and line, and the remedy.

    Attributes:
        errno: ENOENT (no such file, no such entity), EACCES, EINVAL …
        path: the file; "" for a key given on the command line.
        line: from 1; 0 where no line is to blame.
    """

    def __init__(self, errno: int, why: str, remedy: str, path: str = "", line: int = 0) -> None:
        super().__init__(errno, why)
        self.errno = errno
        self.why = why
        self.remedy = remedy
        self.path = path
        self.line = line

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}: " if self.line else f"{self.path}: " if self.path else ""
        return f"{where}{self.why}; {self.remedy}"


def parse_entity(text: str) -> EntityName:
    """An entity's name, also one without an id such as ``mon.``, which keys may have.

    Raises:
        ValueError: not TYPE.ID.
    """
    kind, dot, ident = text.partition(".")
    if not dot or kind not in TYPES_BY_NAME:
        raise ValueError(f"{text!r} is not an entity name such as mds.a or client.admin")
    return EntityName(TYPES_BY_NAME[kind], ident)


@define
class KeyRing:
    """Keys and caps by entity; ``path`` says where they come from. No secret is in the repr."""

    keys: dict[EntityName, EntityAuth] = field(factory=dict, repr=False)
    path: str = ""

    @classmethod
    def parse(cls, data: bytes, path: str = "") -> Self:
        """The keyring in ``data``; ``path`` is for errors.

        Raises:
            KeyringError: the first line that is wrong.
        """
        ring = cls(path=path)
        name: EntityName | None = None
        skipping = False
        for number, line in _lines(data, path):
            heading = _HEADING.match(line)
            if line.startswith("["):
                if heading is None:
                    raise _bad(path, number, "a section head without its ']'", "write [TYPE.ID]")
                skipping = heading[1] == "global"
                if not skipping:
                    name = ring._section(heading[1], number)
                continue
            option, equals, rest = line.partition("=")
            words = re.sub(r"[\s_]+", " ", option).strip()
            if not equals:
                raise _bad(
                    path, number, "neither [TYPE.ID] nor NAME = VALUE", "is this a keyring at all?"
                )
            value = _value(rest, path, number)
            if skipping:
                continue
            if name is None:
                raise _bad(
                    path,
                    number,
                    f"{_shown(words)} stands before any [TYPE.ID]",
                    "add that line; a bare key is given with -K FILE",
                )
            ring._set(name, words, value, number)
        return ring

    def _section(self, text: str, number: int) -> EntityName:
        try:
            name = parse_entity(text)
        except ValueError as error:
            raise _bad(self.path, number, str(error), "write [TYPE.ID], such as [mds.a]") from None
        self.keys.setdefault(name, EntityAuth())
        return name

    def _set(self, name: EntityName, option: str, value: str, number: int) -> None:
        auth = self.keys[name]
        if option == "key":
            try:
                auth.key = CryptoKey.from_base64(value)
            except ValueError as error:
                raise _bad(
                    self.path,
                    number,
                    f"the key of {name} is {error}",
                    f"fetch it again with 'ceph auth get {name}'",
                ) from None
        elif option.startswith("caps ") and option != "caps ":
            auth.caps[option[5:]] = encode(Str, value)
        elif option != "auid":
            raise _bad(
                self.path,
                number,
                f"{_shown(option)} is nothing that {name} can have",
                "a keyring has 'key' and 'caps SERVICE'",
            )

    @classmethod
    def load(cls, path: str) -> Self:
        """Read a file; raises KeyringError."""
        return cls.parse(_read(path), path)

    def get_auth(self, name: EntityName) -> EntityAuth | None:
        return self.keys.get(name)

    def get_secret(self, name: EntityName) -> CryptoKey:
        """The key of ``name``.

        Raises:
            KeyringError: it has none (ENOENT), saying whose keys there are.
        """
        auth = self.keys.get(name)
        if auth is not None and auth.key:
            return auth.key
        known = [str(other) for other, found in sorted(self.keys.items()) if found.key]
        holds = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
        raise KeyringError(
            errno.ENOENT,
            f"there is no key of {name} here, only of {holds or 'nobody'}",
            f"check the name, or fetch its key with 'ceph auth get {name}'",
            self.path or "keyring",
        )

    def text(self) -> str:
        """The keyring as a file, as ceph-authtool writes it. It holds the secrets."""
        out = []
        for name, auth in sorted(self.keys.items()):
            out.append(f"[{name}]\n\tkey = {auth.key.to_base64()}\n")
            for service in sorted(auth.caps):
                try:
                    caps = auth.caps_text(service).replace("\\", "\\\\").replace('"', '\\"')
                except DecodeError:
                    continue
                out.append(f'\tcaps {service} = "{caps}"\n')
        return "".join(out)


def _stdin() -> bytes:
    return sys.stdin.buffer.read(MAX_KEYRING_SIZE)


def find_keyring(
    name: EntityName,
    *,
    keyring: str,
    key: str = "",
    keyfile: str = "",
    read_stdin: Callable[[], bytes] = _stdin,
) -> KeyRing:
    """The keyring that the options ``keyring``, ``key`` and ``keyfile`` give a process.

    ``keyring`` is a list of files, separated by commas, of which the first that opens counts;
    ``key`` and then ``keyfile`` (``-``: ``read_stdin``) replace the key of ``name`` in it.

    Raises:
        KeyringError: with errno ENOENT when there is no keyring at all, so that a process that
            may use method none can go on without.
    """
    found: KeyRing | None = None
    missing: KeyringError | None = None
    try:
        found = _first(keyring, name)
    except KeyringError as error:
        if error.line or not (key or keyfile):
            raise
        missing = error
    if key:
        secret = _plain_key(key, "", "the key given with --key")
    elif keyfile:
        raw = read_stdin() if keyfile == "-" else _read(keyfile)
        text = raw.decode("ascii", "replace")
        secret = _plain_key(text, keyfile, "the content")
    else:
        assert found is not None, missing
        return found
    found = found or KeyRing()
    found.keys[name] = EntityAuth(key=secret)
    return found


def _plain_key(text: str, path: str, what: str) -> CryptoKey:
    try:
        return CryptoKey.from_base64(text)
    except ValueError as error:
        raise KeyringError(
            errno.EINVAL, f"{what} is {error}", "give the key alone, in base64", path
        ) from None


def _first(paths: str, name: EntityName) -> KeyRing:
    tried: list[str] = []
    number = errno.ENOENT
    for path in filter(None, (part.strip() for part in re.split("[;,]", paths))):
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            number = error.errno or errno.EIO
            tried.append(f"{path} ({os.strerror(number)})")
            continue
        return KeyRing.load(path)
    raise KeyringError(
        number,
        f"no keyring for {name}: " + (", ".join(tried) or "the option 'keyring' is empty"),
        "give one with -k FILE, or make one with"
        f" 'ceph auth get-or-create {name} mon \"allow profile mds\" … -o FILE'",
    )


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MAX_KEYRING_SIZE + 1)
    except OSError as error:
        raise KeyringError(
            error.errno or errno.EIO,
            f"cannot be read: {error.strerror}",
            "it must be a file that this process may read",
            path,
        ) from error
    if len(data) > MAX_KEYRING_SIZE:
        raise KeyringError(
            errno.EFBIG, f"is larger than {MAX_KEYRING_SIZE} bytes", "is this a keyring?", path
        )
    return data


def _shown(option: str) -> str:
    """An option's name for an error; what might be a key in its place is not repeated."""
    known = re.fullmatch("[a-z ]{1,24}", option)
    return f"the option {option!r}" if known else "an option"


def _bad(path: str, number: int, why: str, remedy: str) -> KeyringError:
    return KeyringError(errno.EINVAL, why, remedy, path or "keyring", number)


def _lines(data: bytes, path: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line that says something; a line ending in a backslash goes on."""
    pending, start = "", 0
    for number, raw in enumerate(data.split(b"\n"), 1):
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line = "\0"
        if _NO_TEXT.search(line):
            raise _bad(path, number, "has bytes that no text has", "is this a keyring at all?")
        start = start or number
        pending += line.rstrip("\r")
        if pending.endswith("\\") and not pending.endswith("\\\\"):
            pending = pending[:-1]
            continue
        text = pending.strip()
        if text and text[0] not in "#;":
            yield start, text
        pending, start = "", 0
    if pending.strip():
        yield start, pending.strip()


def _value(rest: str, path: str, number: int) -> str:
    """The value after ``=``, without quotes, escapes and comment."""
    rest = rest.strip()
    plain = _PLAIN.fullmatch(rest)
    if plain is not None:
        return plain[1] if plain[2] is None else plain[2]
    quote = rest[0] if rest.startswith(_QUOTES) else ""
    out: list[str] = []
    at = len(quote)
    while at < len(rest):
        char = rest[at]
        if char == quote:
            tail = rest[at + 1 :].strip()
            if tail and tail[0] not in "#;":
                raise _bad(path, number, f"text after the closing {quote}", "remove or quote it")
            return "".join(out)
        if not quote and char in "#;":
            break
        if char == "\\" and at + 1 < len(rest):
            at += 1
            char = rest[at]
        out.append(char)
        at += 1
    if quote:
        raise _bad(path, number, f"a quote {quote} that is not closed", "close it on the same line")
    return "".join(out).strip()
