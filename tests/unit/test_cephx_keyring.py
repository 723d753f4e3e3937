"""Keyrings: what they may look like, and what is said about one that is wrong."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.needs import need_programs

from mdsdaemon.cephx.auth import EntityAuth
from mdsdaemon.cephx.crypto import CryptoKey
from mdsdaemon.cephx.keyring import KeyRing, KeyringError, find_keyring, parse_entity
from mdsdaemon.encoding import Str, encode
from mdsdaemon.host import Host
from mdsdaemon.types.entity import CLIENT, MDS, MON, EntityName

HOST = Host.seeded(4)
A = EntityName(MDS, "a")
ADMIN = EntityName(CLIENT, "admin")
KEY = CryptoKey.create(HOST.randbytes, HOST.wall())
OTHER = CryptoKey.create(HOST.randbytes, HOST.wall())
BASIC = f"""\
# made by hand
[mds.a]
\tkey = {KEY.to_base64()}
\tcaps mds = "allow"
\tcaps_mon = allow profile mds   ; of mds.a

[client.admin]
key="{OTHER.to_base64()}"
auid = 0
caps   osd='allow "all" \\'x\\''
[mon.]
  key = {KEY.to_base64()}
"""


def caps(ring: KeyRing, name: EntityName) -> dict[str, str]:
    auth = ring.keys[name]
    return {service: auth.caps_text(service) for service in auth.caps}


def test_several_entries() -> None:
    ring = KeyRing.parse(BASIC.encode(), "/k")
    assert list(ring.keys) == [A, ADMIN, EntityName(MON, "")]
    assert ring.get_secret(A) == KEY
    assert ring.get_secret(ADMIN) == OTHER
    assert caps(ring, A) == {"mds": "allow", "mon": "allow profile mds"}
    assert caps(ring, ADMIN) == {"osd": "allow \"all\" 'x'"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("caps mds = allow r; allow w", "allow r"),
        ("caps mds = 'allow r; allow w' # two", "allow r; allow w"),
        ("caps mds = allow \\# r", "allow # r"),
        ('caps mds = "allow rw path=\\"/x\\""', 'allow rw path="/x"'),
        ("caps mds =", ""),
        ('caps mds = ""', ""),
        ("caps mds == x", "= x"),
        ('caps mds = a"b"c', 'a"b"c'),
        ("caps mds = a\\\nb", "ab"),
        ("caps mds = \\\\back", "\\back"),
        ("caps mds = 1\ncaps_mds = 2", "2"),
        ("\tcaps \t mds\t=\tallow *\t\r", "allow *"),
        ("caps mds = café", "café"),
    ],
)
def test_values(line: str, value: str) -> None:
    ring = KeyRing.parse(f"[mds.a]\n{line}".encode())
    assert caps(ring, A) == {"mds": value}


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("key = x", 1, "before any"),
        ("[mds.a\nkey = x", 1, "without its ']'"),
        ("[mds]\n", 1, "'mds' is not an entity name"),
        ("\n\n[thing.a]", 3, "'thing.a' is not an entity name"),
        ("[mds.a]\n# c\nkey = AQ==", 3, "the key of mds.a is not a base64 Ceph key"),
        ("[mds.a]\nkey =", 2, "the key of mds.a"),
        ("[mds.a]\nfoo = 1", 2, "'foo' is nothing that mds.a can have"),
        ("[mds.a]\ncaps = 1", 2, "'caps' is nothing that mds.a can have"),
        ("[mds.a]\njunk", 2, "neither"),
        ("[mds.a]\ncaps mds = 'x", 2, "not closed"),
        ('[mds.a]\ncaps mds = "x" y', 2, "after the closing"),
        ("[mds.a]\n\x7fELF\x02\x01", 2, "bytes that no text has"),
        ("[mds.a]\ncaps mds = \udcff", 2, "bytes that no text has"),
        ("[mds.a]\ncaps mds = a\\\nb\n[oops", 4, "without its"),
    ],
)
def test_what_is_wrong_and_where(text: str, line: int, why: str) -> None:
    with pytest.raises(KeyringError) as caught:
        KeyRing.parse(text.encode(errors="surrogateescape"), "/etc/k")
    assert caught.value.line == line
    assert why in caught.value.why
    assert str(caught.value).startswith(f"/etc/k:{line}: ")
    assert caught.value.remedy in str(caught.value)
    assert caught.value.errno == errno.EINVAL


def test_a_bad_key_is_not_repeated() -> None:
    good, bad = KEY.to_base64(), KEY.to_base64()[:-6]
    for text in (f"[mds.a]\nkey = {bad}", good, f"[mds.a]\n{good}", f"[mds.a]\nkey {good}"):
        with pytest.raises(KeyringError) as caught:
            KeyRing.parse(text.encode())
        assert bad[:8] not in str(caught.value)


def test_other_sections_of_a_configuration_are_skipped() -> None:
    text = f"[global]\nfsid = x\n[mds.a]\nkey = {KEY.to_base64()}"
    assert list(KeyRing.parse(text.encode()).keys) == [A]


def test_whose_keys_there_are() -> None:
    ring = KeyRing.parse(BASIC.encode(), "/k")
    with pytest.raises(KeyringError, match=r"no key of mds\.b here, only of mon\., mds\.a, client"):
        ring.get_secret(EntityName(MDS, "b"))
    only_caps = KeyRing.parse(b"[mds.a]\ncaps mds = x")
    with pytest.raises(KeyringError, match="only of nobody"):
        only_caps.get_secret(A)
    assert only_caps.get_auth(A) is not None
    assert only_caps.get_auth(ADMIN) is None


NAMES = st.builds(
    EntityName,
    st.sampled_from([MON, MDS, CLIENT]),
    st.text(st.characters(exclude_characters="]\\", categories=["L", "N", "P"]), max_size=8),
)
AUTHS = st.builds(
    lambda secret, texts: EntityAuth(
        key=CryptoKey(1, 0, secret), caps={k: encode(Str, v) for k, v in texts.items()}
    ),
    st.binary(min_size=16, max_size=16),
    st.dictionaries(
        st.sampled_from(["mds", "mon", "osd"]),
        st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=20),
    ),
)


@given(st.dictionaries(NAMES, AUTHS, max_size=4))
def test_written_and_read(keys: dict[EntityName, EntityAuth]) -> None:
    ring = KeyRing(keys)
    assert KeyRing.parse(ring.text().encode()).keys == keys


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for text in (data, b"[mds.a]\n" + data, b"[mds.a]\nkey = " + data):
        try:
            KeyRing.parse(text)
        except KeyringError:
            pass


def test_no_secret_in_the_repr() -> None:
    ring = KeyRing.parse(BASIC.encode(), "/k")
    for text in (repr(ring), repr(ring.keys)):
        assert KEY.to_base64() not in text
        assert repr(KEY.secret) not in text


@pytest.mark.parametrize("text", ["mds", "thing.a", "", ".", "mds:a"])
def test_entity_names(text: str) -> None:
    with pytest.raises(ValueError, match="entity name"):
        parse_entity(text)


# ---- the options ----


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keyring").write_text(BASIC)
    (tmp_path / "keyfile").write_text(OTHER.to_base64() + "\n")
    (tmp_path / "junk").write_bytes(os.urandom(64) + b"\0")
    return tmp_path


def test_the_first_file_that_opens(folder: Path) -> None:
    ring = find_keyring(A, keyring=f"{folder}/none, {folder}/keyring;{folder}/junk")
    assert ring.path == f"{folder}/keyring"
    assert ring.get_secret(A) == KEY


def test_a_key_option_goes_before(folder: Path) -> None:
    keyring = str(folder / "keyring")
    assert find_keyring(A, keyring=keyring, key=OTHER.to_base64()).get_secret(A) == OTHER
    assert find_keyring(A, keyring="", key=OTHER.to_base64()).get_secret(A) == OTHER
    keyfile = str(folder / "keyfile")
    assert find_keyring(A, keyring=keyring, keyfile=keyfile).get_secret(A) == OTHER
    assert find_keyring(A, keyring=keyring, keyfile=keyfile).get_secret(ADMIN) == OTHER
    both = find_keyring(A, keyring="", key=KEY.to_base64(), keyfile=keyfile)
    assert both.get_secret(A) == KEY
    stdin = find_keyring(
        A, keyring="", keyfile="-", read_stdin=lambda: KEY.to_base64().encode() + b"\n"
    )
    assert stdin.get_secret(A) == KEY


def test_no_keyring(folder: Path) -> None:
    with pytest.raises(KeyringError) as caught:
        find_keyring(A, keyring=f"{folder}/x,{folder}/y")
    assert caught.value.errno == errno.ENOENT
    for part in (f"{folder}/x (No such file", f"{folder}/y", "mds.a", "-k FILE"):
        assert part in str(caught.value)
    with pytest.raises(KeyringError, match="is empty"):
        find_keyring(A, keyring=" ,; ")


def test_files_that_are_no_keyrings(folder: Path) -> None:
    with pytest.raises(KeyringError) as caught:
        find_keyring(A, keyring=str(folder / "junk"))
    assert caught.value.line
    with pytest.raises(KeyringError, match="the content is not a base64 Ceph key"):
        find_keyring(A, keyring="", keyfile=str(folder / "junk"))
    with pytest.raises(KeyringError, match="cannot be read: No such file"):
        find_keyring(A, keyring="", keyfile=str(folder / "nothing"))
    with pytest.raises(KeyringError, match="cannot be read: Is a directory"):
        find_keyring(A, keyring=str(folder))
    with pytest.raises(KeyringError, match="given with --key is not") as wrong:
        find_keyring(A, keyring="", key="secret")
    assert "secret" not in wrong.value.why
    # A broken keyring is an error even beside a key: it may hold other keys that are wanted.
    with pytest.raises(KeyringError):
        find_keyring(A, keyring=str(folder / "junk"), key=KEY.to_base64())


def test_ceph_authtool_reads_and_writes_the_same(tmp_path: Path) -> None:
    need_programs("ceph-authtool")
    path = tmp_path / "k"

    def tool(*args: str) -> str:
        return subprocess.check_output(
            ["ceph-authtool", *args], text=True, stderr=subprocess.DEVNULL
        )

    tool("--create-keyring", str(path), "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    tool(str(path), "--gen-key", "-n", "mds.a", "--cap", "mds", 'allow rw path="/a b"')
    tool(str(path), "--gen-key", "-n", "client.x", "--cap", "mon", "allow r")
    ring = KeyRing.load(str(path))
    assert len(ring.keys) == 3
    for name in ring.keys:
        printed = tool("-p", "-n", str(name), str(path)).strip()
        assert printed == ring.get_secret(name).to_base64()
    assert caps(ring, A) == {"mds": 'allow rw path="/a b"'}
    ours = tmp_path / "ours"
    ours.write_text(ring.text())
    assert tool("-l", str(ours)) == tool("-l", str(path))
    assert ring.text() == path.read_text()
