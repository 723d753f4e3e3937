"""`nox -s bench` (or `python -m bench`): figures as tables, and all samples as JSON.

nox -s bench -- [--rounds N] [--idle SECONDS] [--clients N …] [--count N] [--json FILE]
               [beside] [cache] [cluster] [codecs] [journal] [messenger] [operations] [failover]
               [requests]
"""

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path

from bench import beside, cache, cluster, codecs, failover, journal, operations, requests

PARTS = (
    "codecs",
    "messenger",
    "journal",
    "cache",
    "requests",
    "beside",
    "cluster",
    "operations",
    "failover",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--rounds", type=int, default=5, help="lives of each daemon")
    parser.add_argument("--idle", type=float, default=5, help="seconds to watch a standby")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="at a time")
    parser.add_argument("--count", type=int, default=300, help="calls of each operation")
    parser.add_argument("--json", type=Path, help="write all samples there")
    asked = parser.parse_args()
    parts = asked.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    results: dict[str, object] = {
        "python": platform.python_version(),
        "machine": f"{platform.machine()} {platform.release()}",
    }
    out = sys.stdout
    if "codecs" in parts:
        rates = codecs.measure()
        results["codecs"] = codecs.as_json(rates)
        print(codecs.table(rates), end="\n\n", file=out, flush=True)
    if "messenger" in parts:
        program = Path(__file__).with_name("bench_messenger.py")
        subprocess.run([sys.executable, str(program)], check=True)
        print(file=out, flush=True)
    if "journal" in parts:
        rows = journal.measure()
        results["journal"] = journal.as_json(rows)
        print(journal.table(rows), end="\n\n", file=out, flush=True)
    if "cache" in parts:
        costs = cache.measure()
        results["cache"] = cache.as_json(costs)
        print(cache.table(costs), end="\n\n", file=out, flush=True)
    if "requests" in parts:
        times = requests.measure()
        results["requests"] = requests.as_json(times)
        print(requests.table(times), end="\n\n", file=out, flush=True)
    if "beside" in parts:
        figures = beside.measure(asked.rounds, asked.idle)
        results["beside"] = beside.as_json(figures)
        print(beside.table(figures), end="\n\n", file=out, flush=True)
    if "cluster" in parts:
        starts, objects = cluster.starts(asked.rounds), cluster.objects(min(asked.rounds, 3))
        results["cluster"] = cluster.as_json(starts, objects)
        for sheet in (starts, objects):
            print(cluster.table(sheet), end="\n\n", file=out, flush=True)
    if "operations" in parts:
        done = operations.measure(asked.rounds, asked.clients, asked.count)
        results["operations"] = operations.as_json(done)
        print(operations.table(done), end="\n\n", file=out, flush=True)
    if "failover" in parts:
        lives = failover.measure(min(asked.rounds, 3))
        results["failover"] = failover.as_json(lives)
        print(failover.table(lives), end="\n\n", file=out, flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps(results, indent=1) + "\n")
    else:
        print(json.dumps(results), file=out)


if __name__ == "__main__":
    main()
