"""Option values from text; the expectations are what a live ceph-mds 16.2.15 answered."""

import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.config import Config
from mdsdaemon.config.option_types import PARSERS, Value, format_value, parse_debug_level
from mdsdaemon.config.options import (
    SUBSYSTEMS,
    Option,
    find_option,
    get_option,
    option_names,
    table,
)
from mdsdaemon.errors import OptionError

ACCEPTED: list[tuple[str, str, Value]] = [
    ("float", "1", 1.0),
    ("float", "-1", -1.0),
    ("float", "0x10", 16.0),
    ("float", "1e3", 1000.0),
    ("float", "\t5", 5.0),
    ("float", "+3", 3.0),
    ("float", ".5", 0.5),
    ("float", "5.", 5.0),
    ("float", "0x1p3", 8.0),
    ("float", "infinity", math.inf),
    ("float", "-inf", -math.inf),
    ("float", "0", 0.0),
    ("int", "-1", -1),
    ("int", "1K", 1000),
    ("int", "-1K", -1000),
    ("int", "2M", 2_000_000),
    ("int", "1E", 10**18),
    ("int", "+5", 5),
    ("int", "007", 7),
    ("int", "9223372036854775807", 2**63 - 1),
    ("uint", "1P", 10**15),
    ("size", "1", 1),
    ("size", "1K", 1024),
    ("size", "1Ki", 1024),
    ("size", "1KB", 1024),
    ("size", "1B", 1),
    ("size", "4G", 4 << 30),
    ("size", "4Gi", 4 << 30),
    ("size", "8E", 8 << 60),
    ("size", "+1K", 1024),
    ("secs", "", 0),
    ("secs", "1", 1),
    ("secs", "10s", 10),
    ("secs", "10sec", 10),
    ("secs", "1m", 60),
    ("secs", "2h", 7200),
    ("secs", "1w", 604800),
    ("secs", "1mo", 2592000),
    ("secs", "1y", 31536000),
    ("secs", "1h30m", 5400),
    ("secs", "10s5", 15),
    ("secs", "1 h", 3600),
    ("secs", " 2 days 1 hour ", 176400),
    ("millisecs", "200", 200),
    ("bool", "true", True),
    ("bool", "TRUE", True),
    ("bool", "False", False),
    ("bool", "1", True),
    ("bool", "2", True),
    ("bool", "0", False),
    ("uuid", "8CF90C7C-a475-400b-bc4b-c1cc443480fa", "8cf90c7c-a475-400b-bc4b-c1cc443480fa"),
    ("addr", "1.2.3.4", "v2:1.2.3.4:0/0"),
    ("addr", "1.2.3.4:5", "v2:1.2.3.4:5/0"),
    ("addr", "v1:1.2.3.4:5/6", "v1:1.2.3.4:5/6"),
    ("addr", "::1", "v2:[::1]:0/0"),
    ("addr", "[::1]:5/7", "v2:[::1]:5/7"),
    ("addr", "v2:[fd00::0:1]:5", "v2:[fd00::1]:5/0"),
    ("addr", "-", "-"),
    ("addr", "1.2.3.4/5", "v2:1.2.3.4:0/5"),
    ("addr", "1.2.3.4,2.3.4.5", "v2:1.2.3.4:0/0"),
    ("addrvec", "1.2.3.4", "v2:1.2.3.4:0/0"),
    ("addrvec", "[v2:1.2.3.4:5,v1:1.2.3.4:6]", "[v2:1.2.3.4:5/0,v1:1.2.3.4:6/0]"),
]

REFUSED: list[tuple[str, str, str]] = [
    ("float", "", "strict_strtod: expected double, got: ''"),
    ("float", "abc", "strict_strtod: expected double, got: 'abc'"),
    ("float", "5\t", "strict_strtod: garbage at end of string. got: '5\t'"),
    ("float", "1,5", "strict_strtod: garbage at end of string. got: '1,5'"),
    ("float", "1K", "strict_strtod: garbage at end of string. got: '1K'"),
    ("float", "1e999", "strict_strtod: floating point overflow or underflow parsing '1e999'"),
    ("float", "1e-400", "strict_strtod: floating point overflow or underflow parsing '1e-400'"),
    ("float", "nan", "strict_strtod: not a number: 'nan'"),
    ("int", "", "strict_sistrtoll: value not specified"),
    ("int", "1.5", "strict_si_cast: unit prefix not recognized"),
    ("int", "0x10", "strict_si_cast: unit prefix not recognized"),
    ("int", "1k", "strict_si_cast: unit prefix not recognized"),
    ("int", "1B", "Expected option value to be integer, got '1B'"),
    ("int", "KB", "Expected option value to be integer, got 'KB'"),
    ("int", "K", "Expected option value to be integer, got ''"),
    ("int", "1KK", "Expected option value to be integer, got '1K'"),
    ("int", "5-", "Expected option value to be integer, got '5-'"),
    ("int", "-", "Expected option value to be integer, got '-'"),
    (
        "int",
        "99999999999999999999",
        "The option value '99999999999999999999' seems to be invalid",
    ),
    ("int", "10E", "strict_sistrtoll: value out of range"),
    ("uint", "-1", "strict_sistrtoll: value should not be negative"),
    (
        "uint",
        "18446744073709551615",
        "The option value '18446744073709551615' seems to be invalid",
    ),
    ("size", "", "strict_iecstrtoll: value not specified"),
    ("size", "-1", "strict_iecstrtoll: value should not be negative"),
    ("size", "1.5", "strict_iecstrtoll: unit prefix not recognized"),
    ("size", "abc", "strict_iecstrtoll: illegal prefix (length > 2)"),
    ("size", "1KiB", "strict_iecstrtoll: illegal prefix (length > 2)"),
    ("size", "1Bi", 'strict_iecstrtoll: illegal prefix "Bi"'),
    ("size", "16E", "strict_iecstrtoll: value seems to be too large"),
    ("size", "K", "Expected option value to be integer, got ''"),
    ("size", "1ii", "strict_iecstrtoll: unit prefix not recognized"),
    ("secs", "-1", "expected digit"),
    ("secs", "s", "expected digit"),
    ("secs", "10x", "unrecogized unit 'x'"),
    ("secs", "1H", "unrecogized unit 'H'"),
    ("secs", "10.5", "unexpected trailing '.5'"),
    ("secs", "1s!", "expected digit"),
    ("secs", "1!", "unexpected trailing '!'"),
    (
        "millisecs",
        "10s",
        "bad lexical cast: source type value could not be interpreted as target",
    ),
    ("bool", "yes", "Expected option value to be integer, got 'yes'"),
    ("bool", "", "Expected option value to be integer, got ''"),
    ("uuid", "mine", ""),
    ("addr", "", ""),
    ("addr", "1.2.3", ""),
    ("addr", "foo", ""),
    ("addr", "1.2.3.4:99999", ""),
]


@pytest.mark.parametrize(("kind", "text", "value"), ACCEPTED)
def test_accepted(kind: str, text: str, value: Value) -> None:
    parsed = PARSERS[kind](text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(("kind", "text", "why"), REFUSED)
def test_refused(kind: str, text: str, why: str) -> None:
    with pytest.raises(OptionError) as caught:
        PARSERS[kind](text)
    assert (caught.value.errno, caught.value.text) == (22, why)


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", "5/5"), ("5/6", "5/6"), ("5/", "5/5"), ("5x", "5/5"), ("0x5", "0/0"), ("+5", "5/5"),
     ("99/99", "99/99"), ("5/6/7", "5/6/7")],
)  # fmt: skip
def test_debug_levels(text: str, value: str) -> None:
    assert parse_debug_level(text) == value


@pytest.mark.parametrize(
    ("text", "errno"),
    [("", 22), ("/6", 22), ("x", 22), ("-1", 34), ("100", 34), ("99/100", 34), ("5/-1", 34)],
)
def test_bad_debug_levels(text: str, errno: int) -> None:
    with pytest.raises(OptionError) as caught:
        parse_debug_level(text)
    assert caught.value.errno == errno


@given(st.sampled_from(sorted(PARSERS)), st.text(max_size=80))
def test_any_text_is_a_value_or_an_option_error(kind: str, text: str) -> None:
    try:
        value = PARSERS[kind](text)
    except OptionError:
        return
    if kind != "str":
        assert PARSERS[kind](format_value(value)) == pytest.approx(value, abs=1e-6) or kind in (
            "float",
            "addrvec",
        )


@given(
    st.sampled_from(sorted(PARSERS)),
    st.text(string.digits + "+-.eExXKMGTPEBi sdmhyw:/[]v,infa\t", max_size=40),
)
def test_nearly_right_text_too(kind: str, text: str) -> None:
    try:
        PARSERS[kind](text)
    except OptionError as e:
        if e.errno != 22:
            raise


@given(st.integers(0, 2**63 - 1))
def test_sizes_come_back(size: int) -> None:
    assert PARSERS["size"](format_value(size)) == size


# -- the table ------------------------------------------------------------------------------------


def test_every_default_fits_its_own_option() -> None:
    for option in table():
        value = option.value
        if value == "" and (option.enum or option.type == "addrvec"):
            continue  # nothing: cannot be said, only be left out
        if option.name == "rgw_rados_pool_recovery_priority":
            continue  # its lowest value is above its highest: Ceph refuses every change, too
        parsed = option.accept(value)
        assert parsed == value or option.name == "rbd_default_features", option.name


@pytest.mark.parametrize("text", ["/tmp/a\0b", "/tmp/\ud800"])
def test_text_that_cannot_be_a_path(text: str) -> None:
    """It comes over the network too; opening such a log file must not be tried."""
    config = Config("mds.a")
    with pytest.raises(OptionError) as caught:
        config.set_val("log_file", text)
    assert caught.value.errno == 22
    assert config.set_mon_vals({"log_file": text}) != []


def test_table_and_subsystems() -> None:
    names = option_names()
    assert list(names) == sorted(names)
    assert len(names) == 1808
    assert {f"debug_{name}" for name in SUBSYSTEMS} <= set(names)
    assert len([*table()]) == 1744
    assert find_option("no_such_option") is None
    with pytest.raises(KeyError):
        get_option("no_such_option")


def test_bounds_and_permitted_values() -> None:
    with pytest.raises(OptionError, match=r"exceeds maximum 1.0000"):
        get_option("log_stop_at_utilization").parse("2")
    with pytest.raises(OptionError, match="below minimum 1"):
        get_option("log_max_recent").parse("0")
    with pytest.raises(OptionError, match="is not one of the permitted values: off, warn, on"):
        get_option("osd_pool_default_pg_autoscale_mode").parse("perhaps")
    assert get_option("rbd_default_features").parse("layering,exclusive-lock") == "5"
    with pytest.raises(OptionError):
        get_option("rbd_default_features").parse("everything")
    with pytest.raises(OptionError):
        get_option("rbd_discard_granularity_bytes").parse("65537")


def test_numbers_and_truth_values_as_such() -> None:
    assert get_option("mds_beacon_interval").accept(2) == 2.0
    assert get_option("mds_beacon_interval").accept(0.0000001) == 0.0000001
    assert get_option("mds_cache_memory_limit").accept(4096) == 4096
    assert get_option("mds_log_pause").accept(True) is True
    with pytest.raises(OptionError):
        get_option("mds_cache_memory_limit").accept(1.5)
    with pytest.raises(OptionError):
        get_option("mds_beacon_interval").accept(math.nan)


def test_help_has_ceph_s_shape() -> None:
    shape = get_option("mds_beacon_grace").dump("words")
    assert shape == {
        "name": "mds_beacon_grace",
        "type": "float",
        "level": "advanced",
        "desc": "words",
        "long_desc": "",
        "default": 15,
        "daemon_default": "",
        "tags": [],
        "services": ["mds"],
        "see_also": [],
        "min": "",
        "max": "",
        "can_update_at_runtime": True,
        "flags": [],
    }
    assert list(get_option("debug_mds").dump())[10] == "enum_values"
    assert get_option("mds_cache_memory_limit").dump()["default"] == "4294967296"


@pytest.mark.parametrize(
    ("name", "live"),
    [("mds_beacon_grace", True), ("debug_mds", True), ("mds_join_fs", True), ("keyring", False),
     ("mds_numa_node", False), ("public_addr", False), ("fsid", False)],
)  # fmt: skip
def test_what_may_change_at_run_time(name: str, live: bool) -> None:
    option = get_option(name)
    assert isinstance(option, Option)
    assert option.can_update_at_runtime is live
