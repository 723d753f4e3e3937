"""Options among arguments, and injectargs with the texts of a live ceph-mds 16.2.15."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.config import Config, Level
from mdsdaemon.config.arguments import injectargs, take_option, with_env_args
from mdsdaemon.config.commands import injectargs as injectargs_command
from mdsdaemon.config.options import option_names

KEY = "AQCOrQNrXknSGhAAYs4/Ue+l9Y8/gj3iUIo7iA=="
NOT_OBSERVED = "(not observed, change may require restart) "


def running() -> Config:
    config = Config("mds.a")
    config.running = True
    return config


@pytest.mark.parametrize(
    ("text", "r", "said"),
    [
        ("--debug_mds=5", 0, ""),
        (
            "--debug_mds=6 --mds_beacon_grace 9",
            0,
            f"mds_beacon_grace = '9.000000' {NOT_OBSERVED}",
        ),
        ("--debug_mds 6/7 --no-mds_log_pause", 0,
         f"mds_log_pause = 'false' {NOT_OBSERVED}"),
        (
            "--debug_mds",
            -22,
            "Parse error setting debug_mds to '' using injectargs "
            "(Option --debug_mds requires an argument.\n).\n",
        ),
        ("--nosuch 3", -22, " failed to parse arguments: --nosuch,3\n"),
        (
            "--mds_beacon_grace abc",
            -22,
            "Parse error setting mds_beacon_grace to 'abc' using injectargs "
            "(strict_strtod: expected double, got: 'abc').\n",
        ),
        (
            "--mds_log_pause=maybe",
            -22,
            "Parse error parsing binary flag  --mds_log_pause. Expected true or false, "
            "but got 'maybe'\nParse error setting mds_log_pause to '' using injectargs.\n",
        ),
        ("--mds_log_pause maybe", -22,
         f" failed to parse arguments: maybe\nmds_log_pause = 'true' {NOT_OBSERVED}"),
        ("-m x", -22, " failed to parse arguments: -m,x\n"),
        ("--", -22, " failed to parse arguments: --\n"),
        (
            "--default-mds_tick_interval=abc",
            -22,
            "Parse error setting mds_tick_interval to 'abc' using injectargs "
            "(strict_strtod: expected double, got: 'abc').\n",
        ),
        ("mds_tick_interval=1", -22, " failed to parse arguments: mds_tick_interval=1\n"),
        (
            "--public_addr=1.2.3.4",
            -1,
            "Parse error setting public_addr to '1.2.3.4' using injectargs "
            "(Configuration option 'public_addr' may not be modified at runtime).\n",
        ),
        ("--osd_uuid=zz", -22, "Parse error setting osd_uuid to 'zz' using injectargs.\n"),
        (
            "--debug_mds=100",
            -34,
            "Parse error setting debug_mds to '100' using injectargs "
            "(value must be in range [0, 99]).\n",
        ),
        (
            '--mds_join_fs "a b"',
            -22,
            f" failed to parse arguments: b\"\nmds_join_fs = '\"a' {NOT_OBSERVED}",
        ),
    ],
)  # fmt: skip
def test_injectargs(text: str, r: int, said: str) -> None:
    config = running()
    if "no-mds" in text:
        config.set_val("mds_log_pause", True, Level.FILE)
    assert injectargs(config, text) == (r, said)


def test_the_last_of_equal_options_wins_and_defaults_are_changed_below() -> None:
    config = running()
    injectargs(config, "--mds_tick_interval=5 --mds_tick_interval=6  --default-mds-tick-interval 8")
    assert config.levels("mds_tick_interval") == {Level.DEFAULT: 8.0, Level.OVERRIDE: 6.0}


def test_the_command_joins_its_words() -> None:
    config = running()
    assert injectargs_command(config, ["--mds_beacon_grace", "3", "--mds_log_pause"]).r == 0
    assert config.get_float("mds_beacon_grace") == 3
    assert config.get_bool("mds_log_pause") is True
    assert injectargs_command(config, []) == (0, "", {})


def test_no_secret_in_what_is_said() -> None:
    config = running()
    r, said = injectargs(config, f"--key={KEY}")
    assert r == -1
    assert KEY not in said


@pytest.mark.parametrize(
    ("args", "level", "name", "value", "left"),
    [
        (["--mds-beacon-grace", "7"], Level.CMDLINE, "mds_beacon_grace", 7.0, []),
        (["--mds_beacon-grace=7", "x"], Level.CMDLINE, "mds_beacon_grace", 7.0, ["x"]),
        (["--mds-log-pause", "x"], Level.CMDLINE, "mds_log_pause", True, ["x"]),
        (["--mds-log-pause", "0", "x"], Level.CMDLINE, "mds_log_pause", False, ["x"]),
        (["--no-mds-log-pause", "1"], Level.CMDLINE, "mds_log_pause", False, ["1"]),
        (["--no-config-file"], Level.CMDLINE, "no_config_file", True, []),
        (["--default-mds-log-pause", "1"], Level.DEFAULT, "mds_log_pause", True, []),
        (["--mon-host=a=b"], Level.CMDLINE, "mon_host", "a=b", []),
        (["--mds-join-fs", "--x"], Level.CMDLINE, "mds_join_fs", "--x", []),
        (["--mds-join-fs="], Level.CMDLINE, "mds_join_fs", "", []),
    ],
)
def test_take_option(
    args: list[str], level: Level, name: str, value: object, left: list[str]
) -> None:
    config = Config("mds.a")
    setting = take_option(config, args, 0, Level.CMDLINE)
    assert setting is not None
    assert setting.error is None
    assert args == left
    assert config.levels(name)[level] == value


@pytest.mark.parametrize(
    "arg", ["--no-such", "-mds_beacon_grace", "mds_beacon_grace=1", "--", "-", "", "--no-mon-host",
            "--no-mds-log-pause=1", "--MDS_BEACON_GRACE=1", "--default-", "--=1"]
)  # fmt: skip
def test_what_is_no_option_is_left(arg: str) -> None:
    args = [arg, "1"]
    assert take_option(Config("mds.a"), args, 0, Level.CMDLINE) is None
    assert args == [arg, "1"]


def test_ceph_args_go_first() -> None:
    assert with_env_args(["-i", "b", "--", "x"], "-i a  --y -- z") == [
        "-i", "a", "--y", "-i", "b", "--", "z", "x",
    ]  # fmt: skip
    assert with_env_args(["-i", "b"], "") == ["-i", "b"]


WORDS = st.one_of(
    st.sampled_from([f"--{name}" for name in option_names()[::9]]),
    st.sampled_from([f"--no-{name}" for name in option_names()[::19]]),
    st.text(string.printable, max_size=20),
    st.sampled_from(["--", "-", "=", "1", "true", "4G", "10s", "127.0.0.1"]),
)


@given(st.lists(st.tuples(WORDS, st.sampled_from(["", "=", "=1", "=x"])).map("".join), max_size=8))
def test_any_arguments_are_taken_or_left(words: list[str]) -> None:
    config = running()
    before = {name: config.get(name) for name in option_names()[::40]}
    r, said = injectargs(config, " ".join(words))
    assert (r == 0) == ("arse" not in said)
    for name in before:
        config.rm_val(name)
        if Level.DEFAULT not in config.levels(name):
            assert config.get(name) == before[name] or "$" in str(before[name])
