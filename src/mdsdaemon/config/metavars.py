"""Metavariables in values: `$name`, `${id}`, `$run_dir`.

`$cluster $type $name $id $num $host $pid $cctid $home` stand for what the daemon is; any other
name of an option stands for that option's value. An unknown name is left as it is written.

Format: ceph/ceph, src/common/config.cc, _expand_meta (Pacific)
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from mdsdaemon import records

_VARIABLE = re.compile(r"\$(?:\{([a-z_]+)\}|([a-z_]+))")
MAX_LENGTH = 64 << 10
"""Characters of an expanded value; a handful of lines could otherwise ask for gigabytes."""


class ExpansionError(ValueError):
    """A value that would become too long."""


@records.frozen
class Identity:
    """What a daemon is, for metavariables.

    Attributes:
        name: entity name, `mds.a`.
        cluster: `ceph` unless told otherwise.
        hostname: the machine's name up to the first dot.
        pid: process ID.
        home: the user's home directory, "" if there is none.
    """

    name: str
    cluster: str = "ceph"
    hostname: str = records.field(factory=lambda: os.uname().nodename.partition(".")[0])
    pid: int = records.field(factory=os.getpid)
    home: str = records.field(factory=lambda: os.environ.get("HOME", ""))

    @property
    def type_name(self) -> str:
        """`mds` of `mds.a`."""
        return self.name.partition(".")[0]

    @property
    def id(self) -> str:
        """`a` of `mds.a`."""
        return self.name.partition(".")[2]

    def variable(self, name: str) -> str | None:
        """The value of a metavariable, None when it is not one."""
        match name:
            case "name":
                return self.name
            case "cluster":
                return self.cluster
            case "type":
                return self.type_name
            case "id" | "num":
                return self.id
            case "host":
                return self.hostname
            case "pid":
                return str(self.pid)
            case "cctid":
                return str(id(self))
            case "home":
                return self.home
        return None


def expand(text: str, variable: Callable[[str], str | None]) -> str:
    """`text` with every variable that `variable` knows replaced by what it returns.

    Raises:
        ExpansionError: the result is longer than MAX_LENGTH.
    """
    if "$" not in text:
        return text
    parts: list[str] = []
    length = last = 0
    for match in _VARIABLE.finditer(text):
        value = variable(match[1] or match[2])
        parts += [text[last : match.start()], match[0] if value is None else value]
        length += len(parts[-2]) + len(parts[-1])
        if length > MAX_LENGTH:
            raise ExpansionError(f"expands to more than {MAX_LENGTH} characters")
        last = match.end()
    return "".join(parts) + text[last:]
