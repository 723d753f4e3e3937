"""One part in this process, its figures as JSON: PART PLAN. See `parts.Part.alone`."""

from __future__ import annotations

import sys

from bench.figures import Sheet
from bench.parts import PARTS
from bench.plan import Plan
from bench.results import with_samples


def main(name: str, plan: str) -> None:
    sheet = Sheet(name)
    PARTS[name].measure(sheet, Plan.from_json(plan))
    sys.stdout.write(with_samples({}, sheet.figures))


if __name__ == "__main__":
    main(*sys.argv[1:3])
