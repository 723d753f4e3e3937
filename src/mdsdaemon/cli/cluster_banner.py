"""What people and programs are told when the cluster is ready."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mdsdaemon.cluster.cluster import STOCK_MDS
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.version import __version__

if TYPE_CHECKING:
    from mdsdaemon.cluster.cluster import Cluster


def banner(cluster: Cluster) -> str:
    """For the terminal: where the configuration is, and lines to copy."""
    conf = cluster.conf_path
    if cluster.options.data is None:
        lives = "It is in memory and gone when this ends"
    else:
        lives = f"It lives in {cluster.folder}"
    mount = f"  ceph-fuse -c {conf} MOUNTPOINT\n"
    text = (
        f"mdsdaemon {__version__}: cluster {cluster.fsid} is ready. {lives} (Ctrl-C).\n"
        f"Configuration: {conf}\n"
        f"Key of client.admin: {cluster.keyring_path}\n"
        f"  ceph -c {conf} -s\n"
        f"  {python_line(conf)}\n"
    )
    if cluster.options.mds:
        return text + (mount if cluster.options.fs else "")
    text += "No metadata server of ours serves files. "
    if not cluster.options.fs:
        text += "Make a file system (or start with --fs NAME). "
    text += "Let Ceph's own one join, then mount:\n"
    return text + f"  ceph-mds -f -c {conf} -i {STOCK_MDS}\n" + mount


def python_line(conf: Path) -> str:
    """A line of Python on librados that anybody can run."""
    code = f'import rados; c = rados.Rados(conffile="{conf}"); c.connect(); print(c.list_pools())'
    return f"python3 -c '{code}'"


def ready_text(cluster: Cluster) -> str:
    """The ready file: one JSON object."""
    ready = {
        "conf": str(cluster.conf_path),
        "keyring": str(cluster.keyring_path),
        "fsid": str(cluster.fsid),
        "mon_host": str(cluster.mon_addrs),
        "fs": list(cluster.options.fs),
        "pid": os.getpid(),
    }
    return json.dumps(ready) + "\n"


class ReadyFile:
    """The file of --ready-file: there exactly as long as the cluster is ready; "" for none.

    Raises FatalError from every method: it cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path) if path else ""
        self.remove()
        if path and not os.access(os.path.dirname(self.path), os.W_OK | os.X_OK):
            number = errno.EACCES if os.path.isdir(os.path.dirname(self.path)) else errno.ENOENT
            raise self._cannot(OSError(number, os.strerror(number)))

    def write(self, text: str) -> None:
        """At once or not at all."""
        if not self.path:
            return
        temporary = f"{self.path}.new-{os.getpid()}"
        try:
            with open(temporary, "x", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, self.path)
        except OSError as e:
            raise self._cannot(e) from e

    def remove(self) -> None:
        """Nobody shall take the file of an earlier run for ours."""
        if not self.path:
            return
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as e:
            raise self._cannot(e) from e

    def _cannot(self, e: OSError) -> FatalError:
        return FatalError(
            f"cannot write the ready file {self.path}: {e.strerror or e}",
            ExitStatus.CANNOT_CREATE,
            "name another with --ready-file",
        )
