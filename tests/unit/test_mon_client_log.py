"""The cluster log's queue: batches, acks, a new session, bounds."""

import uuid

from mdsdaemon.clients.log_client import MAX_QUEUED, LogCarrier, LogClient, channel_setting
from mdsdaemon.messages.log import MLog
from mdsdaemon.types.entity import MDS, EntityAddrVec, EntityName, PeerName

FSID = uuid.UUID(int=7)


class Speaker:
    name = PeerName(MDS, -1)
    my_addrs = EntityAddrVec.parse("v2:10.0.0.1:6800/1")


class Options:
    def __init__(self, to_monitors: str = "default=true", batch: int = 1000) -> None:
        self.to_monitors = to_monitors
        self.batch = batch

    def get_str(self, name: str) -> str:
        assert name == "clog_to_monitors"
        return self.to_monitors

    def get_int(self, name: str) -> int:
        assert name == "mon_client_max_log_entries_per_message"
        return self.batch

    def get_float(self, name: str) -> float:
        assert name == "mon_client_log_interval"
        return 1.0


def client(options: Options | None = None) -> LogClient:
    return LogClient(EntityName(MDS, "a"), options or Options(), lambda: 12.5, Speaker())


def seqs(clog: LogClient, *, flush: bool = False) -> list[int] | None:
    message = clog.get_mon_log_message(FSID, flush=flush)
    return None if message is None else [entry.seq for entry in message.entries]


def test_entries_go_once_per_session_until_acked() -> None:
    clog = client()
    channel = clog.create_channel()
    channel.info("one")
    channel.warn("two\nthree\n")
    assert clog.are_pending()
    assert seqs(clog) == [1, 2, 3]
    assert seqs(clog) is None
    channel.error("four")
    assert seqs(clog) == [4]
    clog.handle_log_ack(2)
    assert seqs(clog, flush=True) == [3, 4]
    clog.handle_log_ack(4)
    assert seqs(clog, flush=True) is None


def test_an_entry_is_signed_and_stamped() -> None:
    clog = client()
    clog.create_channel("audit").sec("somebody did something")
    message = clog.get_mon_log_message(FSID)
    assert message is not None
    (entry,) = message.entries
    assert (str(entry.name), str(entry.rank), str(entry.addrs)) == (
        "mds.a",
        "mds.?",
        "v2:10.0.0.1:6800/1",
    )
    assert (entry.stamp, entry.channel, entry.prio) == (12_500_000_000, "audit", 2)
    assert message.fsid == FSID


def test_batches_are_limited() -> None:
    clog = client(Options(batch=2))
    for n in range(5):
        clog.create_channel().info(str(n))
    assert [seqs(clog), seqs(clog), seqs(clog), seqs(clog)] == [[1, 2], [3, 4], [5], None]


def test_the_queue_is_bounded() -> None:
    clog = client(Options(batch=0))
    for n in range(MAX_QUEUED + 5):
        clog.create_channel().debug(str(n))
    assert clog.dropped == 5
    sent = seqs(clog)
    assert sent is not None
    assert (sent[0], len(sent)) == (6, MAX_QUEUED)


def test_channels_can_be_kept_from_the_monitors() -> None:
    clog = client(Options("default=true audit=false"))
    clog.create_channel("audit").info("kept here")
    assert not clog.are_pending()
    clog.create_channel().info("sent")
    assert seqs(clog) == [2]


def test_reset_forgets() -> None:
    clog = client()
    clog.create_channel().info("gone")
    clog.reset()
    assert seqs(clog, flush=True) is None


def test_channel_setting() -> None:
    assert channel_setting("true", "cluster") == "true"
    assert channel_setting("default=info,audit=debug", "audit") == "debug"
    assert channel_setting("default=info;audit=debug", "cluster") == "info"
    assert channel_setting("", "cluster") == ""


def test_the_carrier_sends_at_intervals_and_at_once_when_acked() -> None:
    sent: list[list[int]] = []

    def send(msg: MLog) -> bool:
        sent.append([entry.seq for entry in msg.entries])
        return True

    carrier = LogCarrier(Options(batch=2), send)
    carrier.send(FSID, 1.0)
    assert carrier.due() == float("inf")
    clog = carrier.client = client(Options(batch=2))
    for n in range(5):
        clog.create_channel().info(str(n))
    assert carrier.due() == 2.0
    carrier.send(FSID, 2.0)
    assert (sent, carrier.due()) == ([[1, 2]], 3.0)
    carrier.handle_ack(2, FSID, 2.1)
    carrier.handle_ack(4, FSID, 2.2)
    assert (sent, carrier.due()) == ([[1, 2], [3, 4], [5]], float("inf"))
    carrier.send(FSID, 9.0, flush=True)
    assert sent[-1] == [5]
