"""Whether arguments ask for a cluster of one's own, and what kind."""

import re
from pathlib import Path

import pytest

from mdsdaemon.cli.cluster_args import USAGE, ClusterArgs, parse, wants_cluster
from mdsdaemon.cluster.options import ClusterOptions, mds_names
from mdsdaemon.errors import UsageError


@pytest.mark.parametrize(
    ("args", "environ", "wanted"),
    [
        ([], {}, True),
        ([], {"CEPH_CONF": "/etc/ceph/ceph.conf"}, True),
        ([], {"CEPH_ARGS": "-i a"}, False),
        (["--"], {}, True),
        (["--", "ceph", "-i", "a"], {"CEPH_ARGS": "-m 1.2.3.4"}, True),
        (["--data", "d"], {"CEPH_ARGS": "-m 1.2.3.4"}, True),
        (["--pool-size=2"], {}, True),
        (["--pool_size", "2"], {}, True),
        (["--log-format", "json"], {}, True),
        (["--log-format=json", "--", "true"], {}, True),
        (["--verbose"], {}, True),
        (["-i", "a"], {}, False),
        (["-f"], {}, False),
        (["--log-format", "json", "-i", "a"], {}, False),
        (["-i", "a", "--", "x"], {}, False),
        (["--mds-data", "x", "-i", "a"], {}, False),
        (["--timeout", "3", "-i", "a"], {}, True),  # and is refused with a sentence
    ],
)
def test_who_is_meant(args: list[str], environ: dict[str, str], wanted: bool) -> None:
    assert wants_cluster(args, environ) is wanted


def test_everything_given() -> None:
    line = (
        "--data d --fs a --fs=b --mds 3 --pool-size 2 --mon-port 3300 --set mds_tick_interval=2 "
        "--set osd-pool-default-pg-num=8 --ready-file r --timeout 2.5 --exit-with-parent "
        "--verbose --log-format json -- ceph --mds 9"
    )
    assert parse(line.split()) == ClusterArgs(
        data="d",
        fs=("a", "b"),
        mds=3,
        pool_size=2,
        mon_port=3300,
        settings={"mds_tick_interval": "2", "osd_pool_default_pg_num": "8"},
        ready_file="r",
        timeout=2.5,
        exit_with_parent=True,
        verbose=True,
        log_format="json",
        command=("ceph", "--mds", "9"),
    )
    assert parse([]) == ClusterArgs()
    assert parse(["--no-fs"]).fs == ()
    assert parse(["--", "true"]).mds == 2  # one more than the file system needs
    assert parse(["--mds", "1", "--", "true"]).mds == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--data", "--data requires an argument"),
        ("--mds x", "--mds 'x' is not a number"),
        ("--timeout 0", "--timeout is 0"),
        ("--timeout nan", "--timeout is nan"),
        ("--set novalue", "'novalue' is not OPTION=VALUE"),
        ("--set =x", "is not OPTION=VALUE"),
        ("--log-format xml", "neither text nor json"),
        ("--mds 1 -i a", "takes no '-i'"),
        ("--mds 1 extra", "takes no 'extra'"),
        ("--exit-with-parent=1", "takes no '--exit-with-parent=1'"),
        ("--", "no command after --"),
        ("--fs a --no-fs", "--fs and --no-fs contradict each other"),
    ],
)
def test_mistakes(line: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        parse(line.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mds": -1}, "mds is -1; give a number from 0 to 1000"),
        ({"pool_size": 0}, "pool-size is 0"),
        ({"mon_port": 65536}, "mon-port is 65536"),
        ({"fs": ("a b",)}, "'a b' is no name for a file system"),
        ({"fs": ("a", "a")}, "named twice"),
        ({"settings": {"no_such_option": "1"}}, "cannot set no_such_option to '1'"),
        ({"settings": {"mds_tick_interval": "x"}}, "cannot set mds_tick_interval to 'x'"),
        ({"settings": {"fsid": "a\nb"}}, "more than one line"),
    ],
)
def test_values_that_cannot_be(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        ClusterOptions(**options)  # type: ignore[arg-type]


def test_settings_reach_the_daemons() -> None:
    options = ClusterOptions(pool_size=2, settings={"mds_beacon_grace": "7"})
    config = options.config("mds.a", {"mon_host": "v2:127.0.0.1:1"})
    assert config.get_float("mds_beacon_grace") == 7
    assert config.get_int("osd_pool_default_size") == 2
    assert config.get_str("mon_host") == "v2:127.0.0.1:1"


def test_names_of_daemons() -> None:
    assert mds_names(3) == ["a", "b", "c"]
    assert mds_names(29)[25:] == ["z", "aa", "ab", "ac"]
    assert len(set(mds_names(1000))) == 1000


def test_usage_names_every_option() -> None:
    source = Path(__file__).parents[2] / "src" / "mdsdaemon" / "cli" / "cluster_args.py"
    for option in re.findall(r'"(--[a-z-]+)"', source.read_text()):
        assert f"{option} " in USAGE, option
    assert max(map(len, USAGE.splitlines())) <= 80
