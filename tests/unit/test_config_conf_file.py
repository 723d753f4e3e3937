"""ceph.conf: values as ceph-mds 16.2.15 understands them, errors with file and line."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.config import Config, ConfigError, parse_conf
from mdsdaemon.config.conf_file import ConfFile, normalize_key_name
from mdsdaemon.config.load import apply_conf_file

SECTIONS = ("mds.foo", "mds", "global")


def read(text: str | bytes, key: str) -> str | None:
    data = text if isinstance(text, bytes) else text.encode()
    entry = parse_conf(data, "t.conf").read(SECTIONS, key)
    return None if entry is None else entry.value


# What `ceph-mds -i foo -c FILE --show-config-value KEY` printed, None for the default.
AS_CEPH: list[tuple[str, str, str | None]] = [
    ("[global]\nMds Beacon Grace = 7\n", "mds_beacon_grace", None),
    ("[global]\nmds-beacon-grace = 7\n", "mds_beacon_grace", None),
    ("[global]\nmds  beacon \t grace = 7\n", "mds_beacon_grace", "7"),
    ("[global]\n mds_beacon_grace=7   ; comment\n", "mds_beacon_grace", "7"),
    ("[global]\n mds_beacon_grace=7#comment\n", "mds_beacon_grace", "7"),
    ("[GLOBAL]\n mds_beacon_grace=7\n", "mds_beacon_grace", None),
    ("[ global ]\n mds_beacon_grace=7\n", "mds_beacon_grace", None),
    ("[global]\n mds_data = /a \\\n   b c\n", "mds_data", "/a    b c"),
    ("[global]\n mds_data = /a\\;b\n", "mds_data", "/a;b"),
    ("[global]\n mds_data = /a\\#b\\\\c\\n\n", "mds_data", "/a#b\\cn"),
    ('[global]\n mds_data = /a "b" c\n', "mds_data", '/a "b" c'),
    ("[global]\n mds_data =\n", "mds_data", ""),
    ("[global]\n mds_data = \n keyring = z\n", "keyring", "z"),
    ("[global]\n mds_data = \n keyring = z\n", "mds_data", ""),
    ("mds_data = x\n", "mds_data", "x"),
    ("", "mds_data", None),
    ("# only comment\n", "mds_data", None),
    ("# only comment", "mds_data", None),
    ("[global]\n mds_data = a\n mds_data = b\n", "mds_data", "b"),
    ("[global]\n mds_data = a\n[mds]\nmds_data = c\n[mds.foo]\n", "mds_data", "c"),
    ("[global]\nmds_data = a\n[mds.foo]\nmds_data=d\n[mds.foo]\nkeyring=x\n", "mds_data", "d"),
    ("[global]\nmds_data = a\n[mds.foo]\nmds_data=d\n[mds.foo]\nkeyring=x\n", "keyring", "x"),
    ("[global]\r\n mds_beacon_grace = 8\r\n", "mds_beacon_grace", "8"),
    ("[global]\n mds_data = a=b=c\n", "mds_data", "a=b=c"),
    ("[global] ; comment\n mds_data = k\n", "mds_data", "k"),
    ('[global]\n mds_data = ""\n', "mds_data", ""),
    ("[global]\n mds_data = don't\n", "mds_data", "don't"),
    ("[mds0]\n mds_data = x\n", "mds_data", None),
    ("[client]\nkeyring=/q\n", "keyring", None),
    ("[global]\n mds_data = ' x '\n", "mds_data", "x"),
]

# What ceph-mds refuses and this program takes.
BEYOND_CEPH: list[tuple[str, str, str | None]] = [
    ("[global]\n mds_beacon_grace=7", "mds_beacon_grace", "7"),
    ('[global]\n mds_data = "/a b ; c"\n', "mds_data", "/a b ; c"),
    ("[global]\n mds_data = '/a b # c'  # comment\n", "mds_data", "/a b # c"),
    ("\n\n  \n[global]\n   \n mds_data = k\n   \n", "mds_data", "k"),
    ("  [global]\n mds_data = k\n", "mds_data", "k"),
    ("mds_data = x\n[global]\nmds_data=y\n", "mds_data", "y"),
]


@pytest.mark.parametrize(("text", "key", "value"), AS_CEPH + BEYOND_CEPH)
def test_values(text: str, key: str, value: str | None) -> None:
    assert read(text, key) == value


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('[global]\n mds_data = "/a\n', 2, 'no closing " in the value of mds_data'),
        ("[global]\n mds_data = '/a\"\n", 2, "no closing '"),
        ('[global]\n mds_data = "/a b" trailing\n', 2, "text after the quoted value of mds_data"),
        ('[global]\n mds_data = "a" "b"\n', 2, "text after"),
        ("[global]\n mds_data\n", 2, "NAME = VALUE"),
        ("[global\n mds_data = x\n", 1, "no ]"),
        ("[global] mds_data = k\n", 1, "text after the section's name"),
        ("[global]\n\n\n mds_data = a ; x \\\n y\n", 5, "NAME = VALUE"),
        ("[global]\n mds_data = x\n = y\n", 3, "NAME = VALUE"),
        ("[global]\n [] \n", 2, "no ]"),
        ("[global]\n a[b = c\n", 2, "NAME = VALUE"),
        ("[global]\n a = \\\n b \\\n c\n d\n", 5, "NAME = VALUE"),
        ("[global]\n a = b\0c\n", 2, "NUL"),
        ("[global]\r\n\r\nnothing\r\n", 3, "NAME = VALUE"),
    ],
)
def test_errors_name_the_line(text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_conf(text.encode(), "/etc/ceph/t.conf")
    assert (caught.value.file, caught.value.line) == ("/etc/ceph/t.conf", line)
    assert why in caught.value.why
    assert str(caught.value).startswith(f"/etc/ceph/t.conf line {line}: ")


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(ConfigError, match=r"t.conf line 2: not UTF-8 text"):
        parse_conf(b"[global]\n mds_data = \xff\n", "t.conf")


def test_a_file_beyond_measure() -> None:
    with pytest.raises(ConfigError, match="more than the"):
        parse_conf(b"#" * ((16 << 20) + 1), "t.conf")


def test_values_do_not_show_in_a_repr() -> None:
    conf = parse_conf(b"[global]\nkey = AQsecret\n", "t.conf")
    assert "AQsecret" not in repr(conf) + repr(conf.read(SECTIONS, "key"))


def test_lines_are_kept_through_continuations() -> None:
    conf = parse_conf(b"[global]\na = 1 \\\n  2\nb = 3\n", "t.conf")
    assert [conf.sections["global"][key].line for key in "ab"] == [2, 4]


def test_what_was_probably_meant() -> None:
    config = Config("mds.foo")
    text = b"[mds]\nMds-Beacon-Grace = 7\nsomebody else's = 1\n[mds0]\nx = 1\n"
    apply_conf_file(config, parse_conf(text, "t.conf"))
    meant, old = config.warnings
    assert "t.conf line 2: 'Mds-Beacon-Grace'" in meant
    assert "did you mean mds_beacon_grace?" in meant
    assert "mds0" in old
    assert config.get_float("mds_beacon_grace") == 15


def test_a_bad_value_of_ours_ends_it_one_of_others_is_passed_over() -> None:
    config = Config("mds.foo")
    with pytest.raises(ConfigError, match=r"t.conf line 2: parse error setting 'fsid' to 'mine'"):
        apply_conf_file(config, parse_conf(b"[global]\nfsid = mine\n", "t.conf"))
    apply_conf_file(config, parse_conf(b"[global]\nosd max backfills = x\n", "t.conf"))
    assert "t.conf line 2: parse error setting 'osd_max_backfills' to 'x'" in config.warnings[0]
    assert config.get_int("osd_max_backfills") == 1


# -- any file -------------------------------------------------------------------------------------

NEARLY = st.text(string.ascii_letters[:6] + " \t\n\r\\;#\"'[]=_.$%{}\x00é", max_size=200)


@given(st.one_of(st.binary(max_size=200), NEARLY.map(str.encode)))
def test_any_bytes_are_a_file_or_a_config_error(data: bytes) -> None:
    lines = data.count(b"\n") + data.count(b"\r") + 1
    try:
        conf = parse_conf(data, "t.conf")
    except ConfigError as e:
        if not 1 <= e.line <= lines:
            raise
        return
    assert isinstance(conf, ConfFile)
    for entries in conf.sections.values():
        for key, entry in entries.items():
            assert key == normalize_key_name(key) != ""
            assert entry.value == entry.value.strip(" \t\v\f\r\n")
            assert entry.line >= 1


PLAIN = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\0", exclude_categories=["Cs"]),
    max_size=30,
).map(lambda text: text.strip(" \t\v\f"))
KEYS = st.from_regex(r"[a-z]{1,5}(_[a-z]{1,5}){0,2}", fullmatch=True)
HEADS = st.text(string.ascii_letters + "._", min_size=1, max_size=8)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escaped(value: str) -> str:
    return "".join(f"\\{ch}" if ch in "\\;#\"'" else ch for ch in value)


@given(
    st.dictionaries(HEADS, st.dictionaries(KEYS, PLAIN, max_size=4), max_size=4),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read(
    sections: dict[str, dict[str, str]], in_quotes: bool, eol: str
) -> None:
    lines: list[str] = []
    for heading, entries in sections.items():
        lines.append(f"[{heading}]")
        for key, value in entries.items():
            text = quoted(value) if in_quotes else escaped(value)
            lines += [f"  {key.replace('_', '  ')} = {text}  ; so it is", "# a comment", ""]
    conf = parse_conf((eol.join(lines) + eol).encode(), "t.conf")
    for heading, entries in sections.items():
        found = {key: entry.value for key, entry in conf.sections[heading].items()}
        assert found == entries
