"""Arguments, environment and ceph.conf together, against what a live ceph-mds makes of them."""

from pathlib import Path

import pytest

from mdsdaemon.config import Config, ConfigError, Level, load_config
from mdsdaemon.config.load import load
from mdsdaemon.errors import ExitStatus, UsageError

CONF = """\
[global]
mon host = 10.0.0.1
keyring = /k0
mds data = /data/$cluster/$name
mds beacon interval = 1
[mds]
mds beacon grace = 5
[mds.a]
mds join fs = mine
"""


@pytest.fixture
def conf(tmp_path: Path) -> str:
    path = tmp_path / "ceph.conf"
    path.write_text(CONF)
    return str(path)


def given(args: list[str], **env: str) -> Config:
    return load_config(args, env)


def test_sections(conf: str) -> None:
    config = given(["-i", "a", "-c", conf])
    assert config.name == "mds.a"
    assert config.get_str("mon_host") == "10.0.0.1"
    assert config.get_float("mds_beacon_grace") == 5
    assert config.get_str("mds_join_fs") == "mine"
    assert config.level("mds_join_fs") == Level.FILE
    assert given(["-i", "b", "-c", conf]).get_str("mds_join_fs") == ""


def test_precedence_as_on_a_live_daemon(conf: str) -> None:
    config = given(
        ["-i", "a", "-c", conf, "--mds-beacon-interval=3", "--keyring", "/k2", "-m", "10.0.0.2"],
        CEPH_KEYRING="/k1",
        CEPH_ARGS="--mds-beacon-interval 2 --debug_mds 3 -k /k3",
    )
    assert config.levels("mds_beacon_interval") == {
        Level.FILE: 1, Level.ENV: 2, Level.CMDLINE: 3,
    }  # fmt: skip
    assert config.levels("keyring") == {
        Level.DEFAULT: "$mds_data/keyring", Level.FILE: "/k0", Level.ENV: "/k1",
        Level.OVERRIDE: "/k2",
    }  # fmt: skip
    assert config.levels("debug_mds") == {Level.ENV: "3/3", Level.CMDLINE: "3/3"}
    assert config.levels("mon_host") == {Level.FILE: "10.0.0.1", Level.OVERRIDE: "10.0.0.2"}
    assert config.levels("no_config_file") == {Level.OVERRIDE: False}


def test_names() -> None:
    assert given([]).name == "mds.admin"
    assert given(["-n", "mds.b"]).name == "mds.b"
    assert given(["--id=b"]).name == "mds.b"
    assert given(["-i", "x", "--name=client.y"]).name == "client.y"
    assert given(["-i", "b"], CEPH_ARGS="-i a").name == "mds.b"
    assert given([], CEPH_ARGS="-i a").name == "mds.a"
    with pytest.raises(UsageError, match="error parsing 'foo': expected string of the form"):
        given(["-n", "foo"])


def test_the_cluster_s_name(tmp_path: Path) -> None:
    for name in ("site.conf", "other"):
        (tmp_path / name).write_text("[global]\nmds data = /$cluster\n")

    def cluster(*args: str, **env: str) -> str:
        return given(["-i", "a", *args], **env).get_str("mds_data")

    assert cluster("-c", str(tmp_path / "site.conf")) == "/site"
    assert cluster("-c", str(tmp_path / "other")) == "/ceph"
    assert cluster("--cluster", "x", "-c", str(tmp_path / "site.conf")) == "/x"
    assert cluster(CEPH_CONF=str(tmp_path / "site.conf")) == "/ceph"
    assert cluster("--cluster", "site", CEPH_CONF=f"{tmp_path}/$cluster.conf") == "/site"


def test_the_search_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home" / ".ceph"
    home.mkdir(parents=True)
    env = {"HOME": str(tmp_path / "home")}
    assert "did not load config file" in load(["-i", "a", "--cluster", "q"], env).config.warnings[0]
    (tmp_path / "q.conf").write_text("[mds]\nmds join fs = here\n")
    config = load_config(["-i", "a", "--cluster", "q"], env)
    assert config.get_str("mds_join_fs") == "here"
    (home / "q.conf").write_text("[mds]\nmds join fs = home\n")
    config = load_config(["-i", "a", "--cluster", "q"], env)
    assert config.get_str("mds_join_fs") == "home"
    config = load_config(["-i", "a", "--cluster", "q", "--no-config-file"], env)
    assert config.get_str("mds_join_fs") == ""
    assert config.get_bool("no_config_file") is True
    assert config.warnings == []


def test_a_list_of_files(conf: str) -> None:
    assert given(["-c", f"/nonexistent/a,{conf}"]).get_str("mon_host") == "10.0.0.1"
    with pytest.raises(ConfigError, match=r"/nonexistent/a: .*\(and 1 more of the list\)") as e:
        given(["-c", "/nonexistent/a;/nonexistent/b"])
    assert e.value.status == ExitStatus.CONFIG


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        given(["-c", "/nonexistent/ceph.conf"])
    with pytest.raises(ConfigError, match="Is a directory"):
        given(["-c", str(tmp_path)])
    with pytest.raises(ConfigError, match="No such file"):
        given([], CEPH_CONF="/nonexistent/ceph.conf")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--nosuch"], "can't understand argument: --nosuch"),
        (["stray"], "can't understand argument: stray"),
        (["--mds_beacon_grace", "abc"], "parse error setting 'mds_beacon_grace' to 'abc'"),
        (["--mds_beacon_grace"], "requires an argument"),
        (["-k"], "option -k requires an argument"),
        (["-i"], "option -i requires an argument"),
        (["--mds-log-pause=perhaps"], "Expected true or false, but got 'perhaps'"),
        (["--bind", "nowhere"], "parse error setting 'public_addr' to 'nowhere'"),
    ],
)
def test_mistakes_on_the_command_line(args: list[str], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        given(args)
    assert why in str(caught.value)
    assert caught.value.status == ExitStatus.USAGE
    assert "\n" not in str(caught.value)


def test_what_follows_a_double_dash_is_left_alone() -> None:
    assert given(["-i", "a", "--", "--nosuch", "stray"]).name == "mds.a"


def test_one_letter_options(tmp_path: Path) -> None:
    config = given(["-d", "-r", "/mnt", "-M", "/monmap", "--bind", "10.0.0.9", "-f"])
    assert config.get_bool("daemonize") is False
    assert config.get_str("log_file") == ""
    assert config.get_bool("log_to_stderr") is True
    assert config.get_str("client_mountpoint") == "/mnt"
    assert config.get_str("monmap") == "/monmap"
    assert config.get_str("public_addr") == "v2:10.0.0.9:0/0"
    key = tmp_path / "key"
    key.write_text("AQCOrQNrXknSGhAAYs4/Ue+l9Y8/gj3iUIo7iA==\n")
    config = given(["-K", str(key)])
    assert config.get_str("key") == "AQCOrQNrXknSGhAAYs4/Ue+l9Y8/gj3iUIo7iA=="
    assert config.level("key") == Level.OVERRIDE
    with pytest.raises(ConfigError, match="cannot read this key file"):
        given(["-K", "/nonexistent/key"])
    key.write_bytes(b"x" * 2000)
    with pytest.raises(ConfigError, match="too long for a key file"):
        given(["-K", str(key)])


def test_show_options() -> None:
    assert load(["--show-config"], {}).show == "config"
    assert load(["--show_config_value", "mds beacon grace"], {}).show == "value:mds_beacon_grace"
    assert load(["--show-config-value=fsid", "--show-conf"], {}).show == "conf"
    assert load(["--show_args", "-i", "a"], {}).early.show_args == ["--show_args", "-i", "a"]


def test_ceph_lib() -> None:
    assert given([], CEPH_LIB="/opt/lib").get_str("plugin_dir") == "/opt/lib"
