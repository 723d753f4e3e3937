"""What mdsdaemon and ceph-mds answer to the same requests, field by field.

Errors, names, attributes and what operations give must be equal. Where the two may differ stands in
`MAY_DIFFER`, with the reason.
"""

import re
from functools import partial
from typing import Any

import pytest
import trio
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
from tests.real.message_script import Step, differences, run
from tests.real.mini_client import mini_client

from mdsdaemon.messages.client_session import BLOCKLISTED, SESSION_BLOCKLISTED
from mdsdaemon.types.client_ops import SessionOp

MAY_DIFFER = {
    r"\.cap$": "what is left of a capability while a lock is taken, and when it is given back",
    r": \.lease": "a lease, or the directory's capability: either lets the client believe the name",
    r": \.dir\.(n|r|ctime|mtime|change_attr|size)": "a directory before or after the change, when"
    " the client does not hold it alone: ceph-mds answers before it is journaled",
    r"inline_version$": "base inodes without inline data: 1 each time, or once",
    r"^link .*: \.realms": "a file's way to the global realm when it gets a second name: told in"
    " the reply, or by a message of its own",
    r"snap .*\.(xattr_version|xattrs)$": "of snapshots: ceph-mds leaves them out when the client"
    " knows those of the present",
    r"^renamesnap .*\.target\.r": "sums below a snapshot: ceph-mds has taken away what was removed"
    " since",
}
"""Parts of answers, as "step: field", and why they may differ."""


def served(cluster: RealCluster, kind: str) -> Mds:
    # from this thread: a daemon dies with the thread that started it
    mds = cluster.start_mds(kind, "a")
    mds.wait_standby()
    cluster.new_fs()
    mds.wait_state("up:active", 30)
    return mds


async def answers(cluster: RealCluster, kind: str) -> list[tuple[Step, dict[str, Any]]]:
    served(cluster, kind)
    cluster.mon("fs set", fs_name="cephfs", var="allow_new_snaps", val="true")
    async with mini_client(cluster) as client:
        return await run(client)


async def test_the_same_answers(osd_cluster: RealCluster) -> None:
    theirs = await answers(osd_cluster, "real")
    await trio.to_thread.run_sync(osd_cluster.reset)
    ours = await answers(osd_cluster, "ours")
    found = [
        f"{step}: {text}"
        for (step, stock), (_, mine) in zip(theirs, ours, strict=True)
        for text in differences(stock, mine)
    ]
    found = [
        text
        for text in found
        if not any(re.search(part, text.rpartition(": ")[0]) for part in MAY_DIFFER)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("kind", ["real", "ours"])
async def test_who_is_blocklisted_is_told_so(osd_cluster: RealCluster, kind: str) -> None:
    mds = served(osd_cluster, kind)

    def fence(nonce: int) -> None:
        osd_cluster.mon("osd blocklist", blocklistop="add", addr=f"127.0.0.1:0/{nonce}")
        epoch = osd_cluster.mon("osd dump")["epoch"]
        wait_for(lambda: mds.asok("status")["osdmap_epoch"] >= epoch, 30, "it knows of that")

    async with mini_client(osd_cluster, open_session=False) as client:
        (mine,) = client.messenger.my_addrs.addrs
        await trio.to_thread.run_sync(partial(fence, mine.nonce))
        refused = await client.open()
        assert refused.op == SessionOp.REJECT
        assert refused.metadata == {"error_string": BLOCKLISTED}
        assert refused.flags == SESSION_BLOCKLISTED
