"""`kill -9` of the active daemon under load of four clients, a standby taking over, each time.

Each client makes random calls that must all succeed, and holds what it sees to a model of what it
did. After every takeover a new client must see exactly that: with nothing acknowledged missing and
nothing more than was done. Clients that are killed with the daemon leave at least what an fsync or
sync had acknowledged to them. `--kills N` says how often (3 for each test unless told).
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import Mds, RealCluster
from tests.real.conftest import QUICK
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster
from tests.real.strict_model import ANY, Seen, differences
from tests.real.strict_notes import Remains

PROGRAM = str(Path(__file__).with_name("strict_client.py"))
CLIENTS = 4
FS = "strict"
OPTIONS = {**QUICK, "mds_reconnect_timeout": "10"}
PATIENCE = 40
RECORD = 16


class Client:
    """One `strict_client`, below /TOP."""

    def __init__(self, cluster: RealCluster, folder: Path, top: str, seed: int) -> None:
        self.top, self.notes = top, folder / f"{top}.notes"
        self.errors = folder / f"{top}.err"
        with self.errors.open("ab") as err:
            self.child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", SYSTEM_PYTHON, PROGRAM,
                 str(cluster.conf), FS, top, str(seed), str(self.notes)],
                env=cluster.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                text=True, bufsize=1,
            )  # fmt: skip

    def calls(self) -> int:
        """How many calls have come back so far."""
        if not self.notes.exists():
            return 0
        return self.notes.read_bytes().count(b'["done"')

    def say(self, word: str) -> None:
        assert self.child.stdin is not None
        assert self.child.poll() is None, self.why()
        self.child.stdin.write(f"{word}\n")
        self.child.stdin.flush()

    def answer(self) -> Any:
        assert self.child.stdout is not None
        ready, _, _ = select.select([self.child.stdout], [], [], PATIENCE)
        line = self.child.stdout.readline() if ready else "hangs"
        if line in ("", "hangs"):
            raise AssertionError(f"{self.top} {line or 'ended'}: {self.why()}")
        return json.loads(line)

    def why(self) -> str:
        last = self.notes.read_text()[-600:] if self.notes.exists() else ""
        return f"{self.errors.read_text()[-3000:]}\nits last notes: {last}"

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            pipe.close()


class World:
    """A file system, its daemons, its clients, and what must be in it."""

    def __init__(self, cluster: RealCluster, folder: Path, kinds: list[str], seed: int) -> None:
        self.cluster, self.kinds, self.rng = cluster, kinds, random.Random(seed)
        self.folder, self.seed = folder, seed
        self.started = self.kills = self.victims = self.acknowledged = self.checked = 0
        self.failovers: list[float] = []
        self.clients: list[Client] = []
        self.frozen: dict[str, Seen] = {}
        self.ledgers: dict[str, tuple[int, int]] = {}
        self.standbys = 0
        self.start_standby()
        cluster.new_fs(FS)
        self.active()
        self.start_standby()
        for _ in range(CLIENTS):
            self.start_client()

    def start_client(self) -> None:
        number = len(self.clients) + self.victims
        client = Client(self.cluster, self.folder, f"c{number}", self.seed * 1000 + number)
        self.clients.append(client)

    def start_standby(self) -> Mds:
        """The next daemon, of the kind whose turn it is."""
        kind = self.kinds[self.started % len(self.kinds)]
        name = "abcdefgh"[self.started % 8]
        self.started += 1
        mds = self.cluster.start_mds(kind, name, label=f"{name}{self.started}")
        mds.wait_standby(30)
        return mds

    def log(self, text: str) -> None:
        with (self.folder / "kills").open("a") as out:
            out.write(f"{time.time():.3f} {text}\n")

    def holder(self, *states: str) -> Mds | None:
        """The daemon that has the rank in one of these states."""
        names = [i["name"] for i in self.cluster.mds_infos() if i["state"] in states]
        return next((m for m in self.cluster.mdss if m.running and m.name in names), None)

    def active(self) -> Mds:
        mds = wait_for(lambda: self.holder("up:active"), 90, "a daemon is active")
        assert mds is not None
        return mds

    def wait_for_more(self, calls: int) -> None:
        """Until every client has made so many more."""
        before = {client: client.calls() for client in self.clients}

        def waiting() -> list[Client]:
            for client in self.clients:
                assert client.child.poll() is None, f"{client.top}: {client.why()}"
            return [client for client, n in before.items() if client.calls() < n + calls]

        try:
            wait_for(lambda: not waiting(), PATIENCE, "the clients go on")
        except AssertionError as e:
            ops = self.active().asok("dump_ops_in_flight")["ops"]
            e.add_note(f"the server has {ops}")
            for client in waiting():
                e.add_note(f"{client.top}: {client.why()}")
            raise

    def kill(self, mds: Mds, *, tell: bool) -> None:
        """`kill -9`; unless told, the monitors find out by themselves."""
        rank_of = next(i["gid"] for i in self.cluster.mds_infos() if i["name"] == mds.name)
        mds.kill()
        self.kills += 1
        self.log(f"{mds.label} is killed, {tell=}")
        if tell:
            self.cluster.mon("mds fail", role_or_gid=str(rank_of))

    def round(self, number: int) -> None:
        """Load, a kill, a takeover, and everything looked at."""
        self.wait_for_more(5)
        time.sleep(self.rng.uniform(0, 1.5))
        dying = self.active()
        victim = None
        if number % 5 == 2:
            victim = self.clients.pop(self.rng.randrange(CLIENTS))
            self.victims += 1
            victim.child.kill()
        self.kill(dying, tell=number % 8 != 3)
        began = time.monotonic()
        self.start_standby()
        if number % 5 == 4:  # who takes over dies while it does
            taking = ("up:replay", "up:reconnect", "up:rejoin", "up:clientreplay", "up:active")
            next_one = wait_for(
                lambda: self.holder(*taking), 60, "somebody takes over", every=0.005
            )
            time.sleep(self.rng.uniform(0, 0.7))
            assert next_one is not None
            self.kill(next_one, tell=True)
            self.start_standby()
        self.active()
        self.failovers.append(time.monotonic() - began)
        self.check(victim)

    def check(self, victim: Client | None = None) -> None:
        """Clients stop for a moment; everybody sees what must be there."""
        for client in self.clients:
            client.say("pause")
        problems: list[str] = []
        wanted: dict[str, Seen] = {}
        for client in self.clients:
            model, own, records = client.answer()
            problems += differences(model, own, f"{client.top}'s own view: ")
            for path, what in model.items():
                if what[-1] == ANY and path in own:
                    own[path][-1] = ANY
            wanted[client.top] = own
            self.ledgers[client.top] = (records, records)
        tops = [*wanted, *self.frozen, *([victim.top] if victim else [])]
        found, ledger, others = self.see(tops)
        if others:
            problems.append(f"also there: {others}")
        for top, seen in [*wanted.items(), *self.frozen.items()]:
            problems += differences(seen, found[top], top)
        if victim is not None:
            problems += self.leftovers(victim, found[victim.top])
            self.start_client()
        problems += self.wrong_records(ledger)
        self.checked += sum(len(found[top]) for top in tops)
        if problems:
            shutil.copytree(self.cluster.root / "log", self.folder / "log")
        assert not problems, "\n".join(problems[:40])
        for client in self.clients:
            if client.top in wanted:
                client.say("go")

    def see(self, tops: list[str]) -> Any:
        return self.ask("see", *tops)

    def ask(self, *words: str) -> Any:
        """What a client of its own answers, at once."""
        argv = [SYSTEM_PYTHON, PROGRAM, str(self.cluster.conf), FS, *words]
        done = subprocess.run(
            argv,
            env=self.cluster.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def leftovers(self, victim: Client, found: Seen) -> list[str]:
        """What is wrong with what a dead client left."""
        remains = Remains(victim.notes)
        self.acknowledged += victim.calls()
        victim.kill()
        self.ledgers[victim.top] = remains.ledger
        self.frozen[victim.top] = found
        files = [path for path, what in found.items() if what[0] == "f"]
        contents = self.contents(victim.top, files)
        return [f"{victim.top}, killed: {problem}" for problem in remains.wrong(found, contents)]

    def contents(self, top: str, files: list[str]) -> dict[str, bytes]:
        texts = self.ask("read", *(f"/{top}/{path}" for path in files))
        return {path: bytes.fromhex(text) for path, text in zip(files, texts, strict=True)}

    def wrong_records(self, ledger: str) -> list[str]:
        """The ledger has everybody's records, each once, and numbers without a gap."""
        own: dict[str, list[int]] = {}
        for index, line in enumerate(ledger.splitlines()):
            number, top, count = line.split()
            if int(number) != index:
                return [f"record {index} of the ledger is {line}"]
            own.setdefault(top, []).append(int(count))
        wrong = []
        for top, (least, most) in self.ledgers.items():
            counts = own.get(top, [])
            if counts != list(range(len(counts))) or not least <= len(counts) <= most:
                wrong.append(f"the ledger has {counts} of {top}, wanted {least} to {most}")
        return wrong

    def finish(self) -> None:
        """All ends in order; a scrub finds nothing."""
        for client in self.clients:
            client.say("end")
        for client in self.clients:
            client.answer()
            self.acknowledged += client.calls()
        tops = [client.top for client in self.clients]
        seen = self.see([*tops, *self.frozen])[0]
        for kind in ("ours", "real"):
            for mds in self.cluster.mdss:
                mds.kill()
            for info in self.cluster.mds_infos():
                self.cluster.mon("mds fail", role_or_gid=str(info["gid"]))
            last = self.cluster.start_mds(
                kind, {"ours": "g", "real": "h"}[kind], label=f"last-{kind}"
            )
            last.wait_state("up:active", 90)
            assert self.see([*tops, *self.frozen])[0] == seen, kind
            self.scrub(last)

    def scrub(self, mds: Mds) -> None:
        self.cluster.tell(mds.name, "scrub start", path="/", scrubops=["recursive", "force"])
        idle = "no active scrubs running"
        wait_for(lambda: idle in str(mds.asok("scrub status")), 60, "the scrub is over")
        assert mds.asok("damage ls") == []
        said = json.dumps(self.cluster.mon("log last", num=1000, level="error", channel="cluster"))
        assert "Scrub error" not in said, said

    def close(self) -> None:
        for client in self.clients:
            client.kill()

    def figures(self) -> str:
        spans = sorted(self.failovers)
        return (
            f"{self.kills} kills, {self.acknowledged} calls acknowledged, {self.victims} clients "
            f"killed too, {self.checked} names looked at, takeovers {spans[len(spans) // 2]:.1f} s "
            f"(median), {spans[-1]:.1f} s (longest), none lost"
        )


def make(where: str) -> RealCluster:
    if where == "embedded":
        return EmbeddedCluster(data=True, options=OPTIONS)
    return RealCluster(osd=True, options=OPTIONS)


@pytest.mark.parametrize(
    ("where", "kinds"),
    [("real", ["ours"]), ("real", ["ours", "real"]), ("embedded", ["ours"])],
    ids=["ours", "alternating", "embedded"],
)
def test_nothing_is_lost(
    new_cluster: Callable[[RealCluster], RealCluster],
    pytestconfig: pytest.Config,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    where: str,
    kinds: list[str],
) -> None:
    seed = int(os.environ.get("MDSDAEMON_KILLS_SEED", "1"))
    kinds = os.environ.get("MDSDAEMON_KILLS_KINDS", "").split() or kinds
    with ExitStack() as stack:
        world = World(new_cluster(make(where)), tmp_path, kinds, seed)
        stack.callback(world.close)
        number = 0
        while world.kills < pytestconfig.getoption("--kills"):
            world.round(number)
            number += 1
        world.finish()
    record_property("figures", world.figures())
