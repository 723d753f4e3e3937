"""Placement beside crushtool and osdmaptool, on random maps."""

import random
import re
import subprocess
from pathlib import Path

import pytest
from tests.needs import need_programs

from mdsdaemon.encoding import decode
from mdsdaemon.maps.crush_map import CrushMap
from mdsdaemon.maps.crush_mapper import do_rule
from mdsdaemon.maps.osd_map import decode_osd_map
from mdsdaemon.maps.placement import object_to_raw_pg, pg_to_up_acting, raw_pg_to_pg
from mdsdaemon.types.osd import PG

pytestmark = pytest.mark.real

ALGORITHMS = ["uniform", "list", "tree", "straw", "straw2"]
TUNABLES = [
    "choose_local_tries",
    "choose_local_fallback_tries",
    "choose_total_tries",
    "chooseleaf_descend_once",
    "chooseleaf_vary_r",
    "chooseleaf_stable",
]
RULES = [
    ("replicated", ["chooseleaf firstn 0 type host"]),
    ("erasure", ["chooseleaf indep 0 type host"]),
    ("replicated", ["choose firstn 0 type osd"]),
    ("erasure", ["choose indep 0 type osd"]),
    ("replicated", ["choose firstn 2 type rack", "chooseleaf firstn 2 type host"]),
    ("replicated", ["chooseleaf firstn 0 type rack"]),
]


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def random_map(rng: random.Random) -> tuple[str, int]:
    """A CRUSH map as crushtool compiles it, and its number of devices."""
    hosts, per_host, racks = rng.randint(1, 6), rng.randint(1, 5), rng.randint(1, 3)
    devices = hosts * per_host
    legacy, jewel = (2, 5, 19, 0, 0, 0), (0, 0, 50, 1, 1, 1)
    odd = (*(rng.randint(0, 5) for _ in range(2)), rng.randint(5, 50), 1, rng.randint(0, 3), 0)
    lines = [
        f"tunable {name} {value}"
        for name, value in zip(TUNABLES, rng.choice([legacy, jewel, odd]), strict=True)
    ]
    lines += ["tunable straw_calc_version 1", "tunable allowed_bucket_algs 62"]
    lines += [f"device {i} osd.{i}" for i in range(devices)]
    lines += ["type 0 osd", "type 1 host", "type 2 rack", "type 3 root"]

    def bucket(kind: str, name: str, number: int, alg: str, items: dict[str, float]) -> float:
        lines.append(f"{kind} {name} {{\n id {number}\n alg {alg}\n hash 0")
        lines.extend(f" item {item} weight {weight:.3f}" for item, weight in items.items())
        lines.append("}")
        return sum(items.values())

    alg = rng.choice([*ALGORITHMS, "straw2", "straw2"])
    even = round(rng.uniform(0.5, 3), 3)
    weights = {
        f"h{h}": bucket(
            "host",
            f"h{h}",
            -10 - h,
            alg,
            {
                f"osd.{h * per_host + d}": even
                if alg == "uniform"
                else rng.choice([0, 1, round(rng.uniform(0.1, 4), 3)])
                for d in range(per_host)
            },
        )
        for h in range(hosts)
    }
    upper = rng.choice(ALGORITHMS[1:])
    rack_weights = {
        f"r{r}": bucket(
            "rack",
            f"r{r}",
            -50 - r,
            upper,
            {name: weight for i, (name, weight) in enumerate(weights.items()) if i % racks == r},
        )
        for r in range(racks)
    }
    bucket("root", "default", -1, upper, rack_weights)
    for number, (kind, steps) in enumerate(RULES):
        lines.append(f"rule r_{number} {{\n id {number}\n type {kind}\n min_size 1\n max_size 10")
        if kind == "erasure":
            lines.append(" step set_chooseleaf_tries 5\n step set_choose_tries 100")
        lines += [" step take default", *(f" step {step}" for step in steps), " step emit\n}"]
    return "\n".join(lines) + "\n", devices


@pytest.mark.parametrize("seed", range(5))
def test_rules_choose_as_crushtool_does(seed: int, tmp_path: Path) -> None:
    need_programs("crushtool")
    rng = random.Random(seed)
    text, devices = random_map(rng)
    (tmp_path / "map.txt").write_text(text)
    run("crushtool", "-c", "map.txt", "-o", "map.bin", cwd=tmp_path)
    crush = decode(CrushMap, (tmp_path / "map.bin").read_bytes())
    weights, options = [0x10000] * devices, list[str]()
    for device in range(devices):
        if rng.random() < 0.2:
            weight = rng.choice([0, 0.5, 0.25])
            weights[device] = int(weight * 0x10000)
            options += ["--weight", str(device), str(weight)]
    size = rng.randint(1, 5)
    command = ["crushtool", "-i", "map.bin", "--test", "--show-mappings", "--num-rep", str(size)]
    out = run(*command, "--min-x", "0", "--max-x", "50", *options, cwd=tmp_path)
    found = re.findall(r"CRUSH rule (\d+) x (\d+) \[([^\]]*)\]", out)
    assert found
    for rule, x, devices_text in found:
        expected = [int(part) for part in devices_text.split(",") if part]
        assert do_rule(crush, int(rule), int(x), size, weights) == expected, (seed, rule, x)


@pytest.mark.parametrize("seed", range(3))
def test_groups_and_objects_lie_where_osdmaptool_says(seed: int, tmp_path: Path) -> None:
    need_programs("osdmaptool")
    rng = random.Random(seed)
    osds = rng.randint(2, 12)
    bits = str(rng.randint(2, 5))
    command = ["osdmaptool", "--createsimple", str(osds), "map", "--with-default-pool"]
    run(*command, "--pg-bits", bits, cwd=tmp_path)
    out_osd = ["--mark-out", str(rng.randrange(osds))] if seed % 2 else []
    tool = ["osdmaptool", "map", "--pool", "1"]
    run(*tool, "--test-map-pgs", "--mark-up-in", *out_osd, "--save", cwd=tmp_path)
    osd_map = decode_osd_map((tmp_path / "map").read_bytes())
    found = re.findall(
        r"^1\.([0-9a-f]+)\s+\[([^\]]*)\]\s+(-?\d+)",
        run(*tool, "--test-map-pgs-dump", cwd=tmp_path),
        re.MULTILINE,
    )
    assert len(found) == osd_map.pools[1].pg_num
    for seed_text, osd_text, primary in found:
        mapping = pg_to_up_acting(osd_map, PG(1, int(seed_text, 16)))
        assert mapping is not None
        assert list(mapping.acting) == [int(part) for part in osd_text.split(",") if part]
        assert mapping.acting_primary == int(primary)
    for name in ["a", "mds0_inotable", "10000000000.00000000", "x" * 12, "y" * 100]:
        raw = object_to_raw_pg(osd_map, 1, name.encode())
        assert raw is not None
        group = raw_pg_to_pg(osd_map.pools[1], raw)
        assert f"-> {group} " in run(*tool, "--test-map-object", name, cwd=tmp_path)
