"""A key that is given to the daemon, by whatever way, is never seen again."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.real.admin import asok
from tests.real.cluster import Mds, RealCluster

LOUD = ("--debug-mds=20", "--debug-ms=20", "--debug-monc=20", "--debug-auth=20", "--debug-asok=20")


def key_of(cluster: RealCluster, name: str) -> str:
    """The key of an entity, from the cluster's keyring."""
    text = cluster.keyring.read_text()
    found = re.search(rf"(?ms)^\[{re.escape(name)}\]$.*?^\s*key\s*=\s*(\S+)", text)
    assert found is not None
    return found[1]


def by_keyring(cluster: RealCluster, key: str) -> Mds:
    return cluster.start_mds("ours", "a", *LOUD)


def by_option(cluster: RealCluster, key: str) -> Mds:
    return cluster.start_mds("ours", "a", *LOUD, f"--key={key}", "--keyring", "/nonexistent")


def by_environment(cluster: RealCluster, key: str) -> Mds:
    env = {"CEPH_ARGS": f"--key {key}"}
    return cluster.start_mds("ours", "a", *LOUD, "--keyring", "/nonexistent", env=env)


def by_key_file(cluster: RealCluster, key: str) -> Mds:
    path = cluster.root / "bare.key"
    path.write_text(key)
    return cluster.start_mds("ours", "a", *LOUD, "-K", str(path), "--keyring", "/nonexistent")


def by_ceph_conf(cluster: RealCluster, key: str) -> Mds:
    path = cluster.write_conf(cluster.root / "with-key.conf", key=key, keyring="/nonexistent")
    return cluster.start_mds("ours", "a", *LOUD, conf=path)


@pytest.mark.parametrize(
    "start", [by_keyring, by_option, by_environment, by_key_file, by_ceph_conf]
)
def test_no_key_anywhere(cluster: RealCluster, start: object) -> None:
    assert callable(start)
    key = key_of(cluster, "mds.a")
    mds: Mds = start(cluster, key)
    mds.wait_standby()
    said: list[bytes] = []
    asked: list[tuple[str, dict[str, Any]]] = [
        ("config show", {}),
        ("config diff", {}),
        ("config get", {"var": "key"}),
        ("config set", {"var": "key", "val": [key + "="]}),
        ("injectargs", {"injected_args": [f"--key={key}"]}),
        ("config help", {"var": "key"}),
        ("status", {}),
        ("heap", {"heapcmd": "stats"}),
        ("log dump", {}),
        ("log flush", {}),
    ]
    for prefix, arguments in asked:
        said.append(asok(mds.asok_path, prefix, format="json", **arguments))
    mds.terminate()
    mds.wait_gone(5)
    files = [p for p in Path(cluster.root / "log").iterdir() if p.name.startswith("mds.a")]
    assert any(p.name.endswith(".flight") for p in files)
    said += [p.read_bytes() for p in files]
    assert [text for text in said if key.encode() in text] == []
