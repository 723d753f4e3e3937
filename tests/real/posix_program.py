"""`-m tests.real.posix_program MOUNT OTHER CASE…`: what came of each call, as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from tests.real import posix_files, posix_names
from tests.real.posix_kit import Trial

CASES = {case.__name__: case for case in (*posix_names.CASES, *posix_files.CASES)}


def main() -> None:
    root, twin, *asked = sys.argv[1:]
    os.umask(0)
    lines: list[str] = []
    took: dict[str, float] = {}
    for name in asked or CASES:
        began = time.monotonic()
        CASES[name](Trial(name, Path(root), Path(twin), lines))
        took[name] = round(time.monotonic() - began, 2)
    print(json.dumps({"lines": lines, "took": took}))  # noqa: T201


if __name__ == "__main__":
    main()
