"""Runs under the system's Python, which has Ceph's bindings: one connection that stays open.

The `ceph` tool takes about half a second per call; tests that watch a map change every few
milliseconds talk to this process instead. Lines of JSON in, lines of JSON out:

    {"op": "mon" | "tell" | "forget", "target": NAME, "cmd": {...}}
    -> {"r": 0 or -errno, "out": text, "err": text}
"""

import json
import sys
from typing import Any

import cephfs  # type: ignore[import-not-found, unused-ignore]
import rados  # type: ignore[import-not-found, unused-ignore]


def main() -> None:
    conf, name = sys.argv[1:3]
    cluster = rados.Rados(name=name, conffile=conf)
    cluster.connect(timeout=20)
    client = None
    print(json.dumps({"r": 0, "out": "", "err": ""}), flush=True)  # noqa: T201
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        cmd = json.dumps(asked["cmd"])
        try:
            if asked["op"] == "tell":
                if client is None:
                    client = cephfs.LibCephFS(rados_inst=cluster)
                    client.init()
                r, out, err = client.mds_command(asked["target"], cmd, b"")
            elif asked["op"] == "forget":
                # A client that stays goes on calling the addresses of daemons that are gone.
                if client is not None:
                    client.shutdown()
                client, r, out, err = None, 0, b"", ""
            else:
                r, out, err = cluster.mon_command(cmd, b"", timeout=30)
        except (rados.Error, cephfs.Error) as e:
            r, out, err = -(getattr(e, "errno", 5) or 5), b"", str(e)
        reply = {"r": r, "out": out.decode(errors="replace"), "err": err}
        print(json.dumps(reply), flush=True)  # noqa: T201
    cluster.shutdown()


main()
