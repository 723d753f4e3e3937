"""Commands about file systems, one after the other, to be asked of two monitors.

They lie in embedded_fs_script.jsonl, as they go over the wire.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import field, frozen
from tests.real.admin import Reply
from tests.real.cluster import RealCluster


@frozen
class Step:
    """One command; `texts` and `output` say what of its answer is compared beside the result."""

    arguments: dict[str, Any] = field()
    texts: bool = True
    output: bool = True

    @property
    def is_json(self) -> bool:
        return self.arguments.get("format") == "json"

    def ask(self, cluster: RealCluster) -> Reply:
        arguments = {"format": "plain", **self.arguments}
        return cluster.admin.mon(arguments.pop("prefix"), **arguments)

    def __str__(self) -> str:
        return json.dumps(self.arguments)


SCRIPT = [
    Step(json.loads(line)) for line in Path(__file__).with_suffix(".jsonl").read_text().splitlines()
]
