"""Two stock ranks under our own client: requests forwarded, capabilities handed on, sessions
reclaimed; the messages are our schemas, byte for byte.
"""

from functools import partial

import pytest
import trio
from tests.real.admin import asok
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.mini_client import mini_client
from tests.real.test_mini_client import every_byte_counts, serve

from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.messages.client_misc import (
    RECLAIM_FINISH,
    RECLAIM_RESET,
    MClientReclaim,
    MClientReclaimReply,
)
from mdsdaemon.messages.client_request import MClientRequestForward
from mdsdaemon.types.client_args import MkdirArgs
from mdsdaemon.types.client_ops import CapOp, MdsOp

assert every_byte_counts  # for every test of this file too


@pytest.fixture
def two_ranks(osd_cluster: RealCluster) -> RealCluster:
    """ceph-mds twice: mds.a is rank 0, mds.b is rank 1."""
    serve(osd_cluster)
    other = osd_cluster.start_real_mds("b")
    other.wait_standby()
    osd_cluster.mon("fs set", fs_name="cephfs", var="max_mds", val="2")
    other.wait_state("up:active", 30)
    return osd_cluster


async def test_forwarded(two_ranks: RealCluster) -> None:
    async with mini_client(two_ranks, open_session=False) as client:
        await client.open(rank=1)
        tid = client.start(MdsOp.MKDIR, "d", args=MkdirArgs(0o755))
        (forward,) = await client.wait_for(lambda: client.received(MClientRequestForward))
        assert (forward.tid, forward.dest_mds, forward.num_fwd) == (tid, 0, 1)
        assert forward.client_must_resend


async def test_a_capability_is_handed_on(two_ranks: RealCluster) -> None:
    async with mini_client(two_ranks) as client:
        d = (await client.request(MdsOp.MKDIR, "d", args=MkdirArgs(0o755), safe=True)).target.ino
        # the directory itself stays with its parent, what is in it goes
        made = await client.request(MdsOp.MKDIR, "in", ino=d, args=MkdirArgs(0o755), safe=True)
        inside = made.target.ino
        cap = client.caps[inside]
        path = next(m.asok_path for m in two_ranks.mdss if m.name == "a")
        await trio.to_thread.run_sync(partial(asok, path, "export dir", path="/d", rank=1))

        def exported() -> MClientCaps | None:
            caps = client.received(MClientCaps)
            return next((m for m in caps if m.op == CapOp.EXPORT and m.ino == inside), None)

        told = await client.wait_for(exported)
        assert told.cap_id == cap.cap_id
        assert told.peer.mds == 1
        assert told.peer.cap_id > 0
        assert inside not in client.caps


async def test_a_dead_client_s_session_is_reclaimed(osd_cluster: RealCluster) -> None:
    stock = serve(osd_cluster)
    async with mini_client(stock, metadata={"uuid": "the same"}) as old, mini_client(stock) as new:
        await old.request(MdsOp.MKDIR, "d", args=MkdirArgs(0o755))
        new.send(MClientReclaim("nobody", RECLAIM_RESET))
        (nobody,) = await new.wait_for(lambda: new.received(MClientReclaimReply))
        assert (nobody.result, nobody.addrs.addrs) == (0, ())
        new.send(MClientReclaim("the same", RECLAIM_RESET))
        await new.wait_for(lambda: len(new.received(MClientReclaimReply)) > 1)
        reply = new.received(MClientReclaimReply)[-1]
        assert reply.result == 0
        assert reply.addrs.addrs
        new.send(MClientReclaim("", RECLAIM_FINISH))
        await old.wait_for(lambda: old.resets or not old.is_open)
        shown = partial(stock.mdss[-1].asok, "session ls")

        def gone() -> bool:
            return [s["id"] for s in shown()] == [new.monc.global_id]

        await trio.to_thread.run_sync(wait_for, gone, 10, "the old session is closed")
