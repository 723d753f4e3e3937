"""Commands of older releases, which Pacific knows by name in order to refuse them.

Format: ceph/ceph, src/mon/MonCommands.h (Pacific)
"""

from __future__ import annotations

import errno
from typing import Final

from mdsdaemon.embedded.monitor.commands import (
    FLAG_OBSOLETE,
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)

_EPOCH: Final = "name=epoch,type=CephInt,req=false,range=0"
_SURE: Final = "name=yes_i_really_mean_it,type=CephBool,req=false"

_GONE: Final = (
    (f"mds dump {_EPOCH}", "r", "fs dump"),
    (f"mds getmap {_EPOCH}", "r", "fs dump"),
    ("mds tell name=who,type=CephString name=args,type=CephString,n=N", "rw", "tell mds.ID"),
    ("mds stop name=role,type=CephString", "rw", "fs set NAME max_mds"),
    ("mds deactivate name=role,type=CephString", "rw", "fs set NAME max_mds"),
    ("mds set_max_mds name=maxmds,type=CephInt,range=0", "rw", "fs set NAME max_mds"),
    (
        "mds set name=var,type=CephChoices,strings=max_mds|max_file_size|inline_data|"
        "allow_new_snaps|allow_multimds|allow_multimds_snaps|allow_dirfrags "
        f"name=val,type=CephString {_SURE}",
        "rw",
        "fs set",
    ),
    ("mds cluster_down", "rw", "fs set NAME joinable false"),
    ("mds cluster_up", "rw", "fs set NAME joinable true"),
    ("mds add_data_pool name=pool,type=CephString", "rw", "fs add_data_pool"),
    ("mds rm_data_pool name=pool,type=CephString", "rw", "fs rm_data_pool"),
    ("mds remove_data_pool name=pool,type=CephString", "rw", "fs rm_data_pool"),
    (
        f"mds newfs name=metadata,type=CephInt,range=0 name=data,type=CephInt,range=0 {_SURE}",
        "rw",
        "fs new",
    ),
)


class MDSObsolete:
    """See the module."""

    def refuse(self, ctx: CommandContext, args: Args) -> CommandResult:
        """The monitor refuses these before they come here."""
        raise fail(errno.EOPNOTSUPP, "command is obsolete; please check usage and/or man page")

    for _desc, _perm, _instead in _GONE:
        refuse = command(
            _desc, module="mds", perm=_perm, flags=FLAG_OBSOLETE, about=f"gone: `ceph {_instead}`"
        )(refuse)
    del _desc, _perm, _instead
