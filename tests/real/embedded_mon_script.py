"""Commands to a monitor, one after the other, to be asked of the embedded one and of a real one."""

from __future__ import annotations

import json
from typing import Any

from attrs import field, frozen
from tests.real.admin import Reply
from tests.real.cluster import RealCluster


@frozen
class Step:
    """One command; `texts` and `output` say what of its answer is compared beside the result."""

    prefix: str
    arguments: dict[str, Any] = field(factory=dict)
    json: bool = True
    texts: bool = True
    output: bool = True

    def ask(self, cluster: RealCluster) -> Reply:
        given = self.arguments if self.json else {"format": "plain", **self.arguments}
        return cluster.admin.mon(self.prefix, **given)

    def __str__(self) -> str:
        return f"{self.prefix} {json.dumps(self.arguments)}{'' if self.json else ' plain'}"


def _both(prefix: str, **arguments: Any) -> list[Step]:
    return [Step(prefix, arguments), Step(prefix, arguments, json=False)]


def _text(prefix: str, **arguments: Any) -> list[Step]:
    return [Step(prefix, arguments, json=False)]


X = "client.x"
MON_R = ["mon", "allow r"]

AUTH = [
    *_text("auth get", entity="nonsense"),
    *_text("auth get", entity=X),
    Step("auth get", json=False, texts=False),
    *_text("auth print-key", entity=X),
    *_text("auth export", entity=X),
    *_text("auth caps", entity=X, caps=MON_R),
    *_text("auth rm", entity=X),
    *_text("auth get-or-create", entity="bad", caps=MON_R),
    *_text("auth get-or-create", entity=X, caps=["mon"]),
    *_text("auth get-or-create", entity=X, caps=["mon", "allow rubbish"]),
    *_text("auth get-or-create", entity=X, caps=["mon", "rw"]),
    *_text("auth get-or-create", entity=X, caps=["mds", "allow rubbish"]),
    *_text("auth get-or-create", entity=X, caps=["mgr", "allow rubbish"]),
    *_text("auth get-or-create", entity=X, caps=["osd", "allow rubbish"]),
    *_text("auth get-or-create", entity=X, caps=["nix", "allow *"]),
    *_both("auth get-or-create", entity=X, caps=[*MON_R, "osd", "allow rw pool=foo"]),
    *_both("auth get-or-create", entity=X),
    *_both("auth get-or-create", entity=X, caps=["mon", "allow rw"]),
    *_both("auth get-or-create-key", entity=X),
    *_both("auth get", entity=X),
    *_both("auth get-key", entity=X),
    *_both("auth print-key", entity=X),
    *_both("auth print_key", entity=X),
    *_both("auth export", entity=X),
    *_text("auth add", entity=X, caps=["mon", "allow *"]),
    *_text("auth add", entity=X, caps=[*MON_R, "osd", "allow rw pool=foo"]),
    *_text("auth add", entity="client.y", caps=MON_R),
    *_text("auth caps", entity=X, caps=["mds", "allow r path=/a", "mon", "allow r fsname=x"]),
    *_text("auth caps", entity=X, caps=["mon"]),
    *_both("auth get", entity=X),
    Step("auth ls"),
    Step("auth list"),
    Step("auth export"),
    *_text("auth import"),
    *_text("auth del", entity="client.y"),
    *_text("auth rm", entity=X),
    *_text("auth rm", entity=X),
]

CONFIG = [
    *_text("config set", who="foo", name="debug_mds", value="1"),
    *_text("config set", who="mds", name="nix", value="1"),
    *_text("config set", who="mds", name="debug_mds", value="x"),
    *_text("config set", who="mds", name="mds_beacon_grace", value="x"),
    *_text("config set", who="mds", name="mds_cache_memory_limit", value="8G"),
    *_text("config set", who="mds", name="mds_max_snaps_per_dir", value="-5"),
    *_text("config set", who="mds", name="mds_join_fs", value="a b"),
    *_text("config set", who="global", name="mon_host", value="1.2.3.4"),
    *_text("config set", who="mds", name="nix", value="1", force=True),
    *_text("config set", who="mds.a/host:foo", name="debug_mds", value="3"),
    *_text("config set", who="osd/class:nvme", name="osd_max_backfills", value="3"),
    *_text("config set", who="osd/rack:r/class:nvme", name="osd_max_backfills", value="4"),
    *_text("config set", who="client.a", name="debug_client", value="1/2"),
    *_text("config set", who="client.a.b", name="debug_client", value="1"),
    *_text("config set", who="mds.", name="debug_mds", value="1"),
    *_text("config set", who="client.a.b", name="debug_client", value="1"),
    *_both("config dump"),
    *_both("config get", who="client.a.b"),
    *_both("config get", who="mds.a"),
    *_both("config get", who="osd.0"),
    *_both("config get", who="nix.a"),
    *_text("config get", who="client.a.b.c", key="debug_client"),
    *_text("config get", who="client", key="debug_client"),
    *_text("config get", who="mds", key="mds_cache_memory_limit"),
    *_text("config get", who="mds", key="mds_join_fs"),
    *_text("config get", who="mds.x", key="nix"),
    *_text("config get", who="mds.x", key="no_such"),
    *_text("config get", who="mds.x", key="keyring"),
    *_text("config get", who="client", key="log_file"),
    *_text("config rm", who="mds", name="nix"),
    *_text("config rm", who="mds", name="never_was"),
    *_text("config rm", who="what", name="never_was"),
    *_both("config log", num=3),
    *_both("config log", num=0),
    *_text("config reset", num=2),
    *_text("config reset", num=1000),
    *_both("config log"),
    *_both("config dump"),
    *_text("config reset", num=1),
    *_text("config generate-minimal-conf"),
    Step("config help", {"key": "mds_beacon_grace"}),
    Step("config help", {"key": "nix"}, texts=False),
]

CONFIG_KEY = [
    *_text("config-key get", key="k"),
    *_text("config-key exists", key="k"),
    *_text("config-key set", key="k", val="v"),
    *_text("config-key set", key="k/l", val="w"),
    *_text("config-key set", key="empty"),
    *_text("config-key set", key="bell", val="\a"),
    *_text("config-key exists", key="k"),
    *_text("config-key get", key="k"),
    *_both("config-key dump", key="k"),
    *_both("config-key dump", key="bell"),
    *_both("config-key dump", key="nix"),
    *_text("config-key put", key="k", val="x"),
    *_text("config-key get", key="k"),
    *_text("config-key del", key="k"),
    *_text("config-key rm", key="k"),
    *_text("config-key rm", key="k/l"),
    *_text("config-key rm", key="empty"),
    *_text("config-key rm", key="bell"),
    *_text("config-key set", key="config/mds/mds_beacon_grace", val="9"),
    *_both("config dump"),
    *_text("config-key rm", key="config/mds/mds_beacon_grace"),
    *_both("config dump"),
]

LOG = [
    *_text("log", logtext=["hello", "there"]),
    Step("log last", {"num": 1}),
    Step("log last", {"num": 1, "level": "debug", "channel": "audit"}),
    Step("log last", {"num": 2, "level": "info", "channel": "*"}),
]

MON = [
    *_both("mon dump"),
    *_both("mon dump", epoch=1),
    *_both("mon dump", epoch=77),
    *_text("mon getmap", epoch=77),
    *_both("mon stat"),
    *_both("mon feature ls"),
    *_both("mon feature ls", with_value="--with-value"),
    Step("mon metadata"),
    Step("mon metadata", {"id": "a"}),
    *_both("mon metadata", id="nix"),
    *_both("mon count-metadata", property="arch"),
    *_both("mon versions"),
    *_both("mon ok-to-stop", ids=["a"]),
    *_both("mon ok-to-stop", ids=[]),
    *_both("mon ok-to-add-offline"),
    *_both("mon ok-to-rm", id="a"),
    *_both("mon ok-to-rm", id="nix"),
    *_text("mon rm", name="nix"),
    *_text("mon set-weight", name="nix", weight=3),
    *_text("mon set-weight", name="a", weight=3),
    *_text("mon set-rank", name="a", rank=0),
    *_text("mon enable-msgr2"),
    Step("quorum_status"),
]

CLUSTER = [
    *_both("fsid"),
    *_both("health"),
    *_both("health", detail="detail"),
    *_text("health mute", code="NIX"),
    *_text("health mute", code="NIX", sticky=True),
    *_both("health", detail="detail"),
    *_text("health mute", code="NIX", ttl="x"),
    *_text("health mute", code="NIX", ttl="10m", sticky=True),
    *_both("health"),
    *_text("health unmute", code="NIX"),
    *_text("health unmute"),
    *_text("osd set", key="noout"),
    *_text("health mute", code="OSDMAP_FLAGS"),
    *_both("health", detail="detail"),
    *_text("health unmute"),
    *_text("osd unset", key="noout"),
    Step("status"),
    *_both("versions"),
    Step("features"),
    *_both("node ls"),
    *_both("node ls", type="mon"),
    Step("time-sync-status"),
    Step("report", texts=False),
]

MGR = [
    *_both("mgr stat"),
    Step("mgr dump"),
    *_both("mgr dump", epoch=77),
    *_both("mgr services"),
    Step("mgr module ls"),
    *_both("mgr metadata"),
    *_both("mgr metadata", who="x"),
    *_both("mgr versions"),
    *_both("mgr count-metadata", property="arch"),
    *_text("mgr fail"),
    *_text("mgr fail", who="nix"),
]

MISTAKES = [
    *_text("nonsense"),
    *_text(""),
    *_text("scrub"),
    *_text("config get", who=3, key="debug_mds"),
    *_text("config-key get", key=["a"]),
    *_text("auth caps", entity=X, caps="mon"),
    *_text("mon dump", epoch="x"),
]

SCRIPT = [*AUTH, *CONFIG, *CONFIG_KEY, *LOG, *MON, *CLUSTER, *MGR, *MISTAKES]
