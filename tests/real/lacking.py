"""The list of commands that the one-process cluster lacks, made from a real cluster's own table.

`python -m tests.real.lacking` writes it to docs/lacking-commands.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster

PATH = Path(__file__).parents[2] / "docs" / "lacking-commands.md"
REFUSALS = ("refused: ", "not supported here: ", "needs a manager")
"""How the help of a command begins that is known only to be refused."""

HEAD = """\
# Commands that the one-process cluster lacks

What 16.2.15's monitor and manager (with the modules that they load by default) have and the
one-process cluster has not: {total} of {real} commands. The list is made from both clusters' tables
of commands (`python -m tests.real.lacking`), and `tests/real/test_embedded_lacking.py` holds it to
them. Nothing is accepted silently: each is answered by an error and a sentence.
"""


def prefixes(descriptions: dict[str, Any]) -> dict[str, str]:
    """Help by prefix: the words before the first argument."""
    found: dict[str, str] = {}
    for entry in descriptions.values():
        words = []
        for word in entry["sig"]:
            if not isinstance(word, str):
                break
            words.append(word)
        found.setdefault(" ".join(words), entry["help"])
    return found


def reason(help_text: str) -> str | None:
    """Why it is refused; None: it is not."""
    for begin in REFUSALS:
        if help_text.startswith(begin):
            return help_text.removeprefix(begin) or help_text
    return None


def listed(commands: Iterable[str]) -> str:
    return ", ".join(f"`{command}`" for command in sorted(commands))


def document(ours: RealCluster, real: RealCluster) -> str:
    """The text of docs/lacking-commands.md."""
    mine = prefixes(ours.mon("get_command_descriptions"))
    theirs = prefixes(real.mon("get_command_descriptions"))
    told = prefixes(ours.ceph("tell", "mon.a", "get_command_descriptions"))
    refused: dict[str, list[str]] = {}
    for command in theirs.keys() & mine.keys():
        why = reason(mine[command])
        if why is not None:
            refused.setdefault(why, []).append(command)
    unknown = theirs.keys() - mine.keys()
    # 16.2.15 lists what is for `tell` only among the others
    by_tell = {c for c in unknown if c in told}
    unknown -= by_tell
    total = sum(map(len, refused.values())) + len(unknown)
    lines = [HEAD.format(total=total, real=len(theirs))]
    lines += ["## Refused with the reason (EOPNOTSUPP)", "", "| why | commands |", "|---|---|"]
    lines += [f"| {why} | {listed(commands)} |" for why, commands in sorted(refused.items())]
    lines += ["", "## Not known (EINVAL)", ""]
    lines += [f"- {listed(c for c in unknown if c.split()[0] == first)}"
              for first in sorted({command.split()[0] for command in unknown})]  # fmt: skip
    return "\n".join(lines) + "\n"


def clusters() -> tuple[EmbeddedCluster, RealCluster]:
    """Both, not yet started."""
    return EmbeddedCluster(), RealCluster(osd=True, mgr=True)


def wait_for_manager(real: RealCluster) -> None:
    wait_for(lambda: real.mon("mgr stat")["available"], 60, "the manager serves", every=0.1)


def main() -> None:
    ours, real = clusters()
    with ours, real:
        wait_for_manager(real)
        PATH.write_text(document(ours, real))


if __name__ == "__main__":
    main()
