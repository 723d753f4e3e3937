"""Commands about several monitors, which a cluster that has one refuses with the reason.

Behaviour: ceph/ceph, src/mon/MonmapMonitor.cc (Pacific): the descriptions
"""

from __future__ import annotations

import errno

from mdsdaemon.embedded.monitor.commands import Args, CommandContext, CommandResult, command, fail

_NAME = "name=name,type=CephString"
_SURE = "name=yes_i_really_mean_it,type=CephBool,req=false"
_LOCATION = "type=CephString,n=N,goodchars=[A-Za-z0-9-_.=]"


class MonRefused:
    """See the module."""

    @command(
        f"mon add {_NAME} name=addr,type=CephIPAddr name=location,{_LOCATION},req=false",
        module="mon",
        perm="rw",
        about="refused: there is one monitor",
    )
    @command(
        f"mon set-addrs {_NAME} name=addrs,type=CephString",
        module="mon",
        perm="rw",
        about="refused: the monitor's address is the one that it has bound",
    )
    @command(
        "mon set election_strategy name=strategy,type=CephString",
        module="mon",
        perm="rw",
        about="refused: there is one monitor",
    )
    @command(
        f"mon add disallowed_leader {_NAME}",
        module="mon",
        perm="rw",
        about="refused: there is one monitor",
    )
    @command(
        f"mon rm disallowed_leader {_NAME}",
        module="mon",
        perm="rw",
        about="refused: there is one monitor",
    )
    @command(
        f"mon set_location {_NAME} name=args,{_LOCATION}",
        module="mon",
        perm="rw",
        about="refused: there is one monitor",
    )
    @command(
        "mon enable_stretch_mode name=tiebreaker_mon,type=CephString "
        "name=new_crush_rule,type=CephString name=dividing_bucket,type=CephString",
        module="mon",
        perm="rw",
        about="refused: there is one monitor",
    )
    @command(
        f"mon set_new_tiebreaker {_NAME} {_SURE}",
        module="mon",
        perm="rw",
        about="refused: there is one monitor",
    )
    @command(
        f"mon feature set name=feature_name,type=CephString {_SURE}",
        module="mon",
        perm="rw",
        about="refused: the monmap has all features from the start",
    )
    def refuse(self, ctx: CommandContext, args: Args) -> CommandResult:
        raise fail(
            errno.EOPNOTSUPP, "this cluster has one monitor, at the address that it has bound"
        )
