"""From arguments to a running one-process cluster and its exit status."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence

from mdsdaemon.cli.cluster_args import parse
from mdsdaemon.cli.cluster_guard import Guard
from mdsdaemon.errors import ExitStatus, FatalError


def main_cluster(args: Sequence[str]) -> int:
    """Run the cluster that `args` ask for until it ends.

    Returns:
        An ExitStatus, or the command's exit status. Where a signal ended the command, the same one
        ends this process instead.

    Raises:
        FatalError: the arguments are wrong, or the cluster could not start or go on.
    """
    parent, began = os.getppid(), time.monotonic()
    asked = parse(args)
    if asked.command and shutil.which(asked.command[0]) is None:
        raise FatalError(
            f"there is no command {asked.command[0]!r} to run",
            ExitStatus.NOT_FOUND,
            "give its path, or see to PATH",
        )
    guard = Guard.start()
    try:
        from mdsdaemon.cli.cluster_program import run_cluster

        status = run_cluster(asked, guard, parent, began)
    finally:
        guard.dismiss()
    if status >= 0:
        return status
    from mdsdaemon.cli.cluster_command import end_like

    return end_like(status)
