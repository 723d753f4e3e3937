"""Commands of other clusters that this one, with its one object store, refuses: EOPNOTSUPP and why.

They are listed so that `ceph` knows them, and says the reason instead of offering others.

Format: ceph/ceph, src/mon/MonCommands.h, src/mgr/MgrCommands.h (Pacific), checked against 16.2.15
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    FLAG_HIDDEN,
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor

_NAME: Final = "type=CephString,goodchars=[A-Za-z0-9-_.]"
_PLACE: Final = "name=args,type=CephString,goodchars=[A-Za-z0-9-_.=],n=N"
_SURE: Final = "name=yes_i_really_mean_it,type=CephBool,req=false"
_IDS: Final = "name=ids,type=CephString,n=N"
_WEIGHT: Final = "name=weight,type=CephFloat,range=0.0"
_LIMITS: Final = (
    "name=oload,type=CephInt,req=false name=max_change,type=CephFloat,req=false "
    "name=max_osds,type=CephInt,req=false"
)

REFUSED: Final[dict[str, tuple[str, ...]]] = {
    "the cluster has one OSD, osd.0, which lives and ends with it": (
        "osd create name=uuid,type=CephUUID,req=false name=id,type=CephOsdName,req=false",
        f"osd destroy name=id,type=CephOsdName name=force,type=CephBool,req=false {_SURE}",
        f"osd destroy-actual name=id,type=CephOsdName {_SURE}",
        f"osd lost name=id,type=CephOsdName {_SURE}",
        "osd new name=uuid,type=CephUUID,req=true name=id,type=CephOsdName,req=false",
        f"osd purge name=id,type=CephOsdName name=force,type=CephBool,req=false {_SURE}",
        f"osd purge-actual name=id,type=CephOsdName {_SURE}",
        f"osd purge-new name=id,type=CephOsdName {_SURE}",
        f"osd rm {_IDS}",
        f"osd stop {_IDS}",
    ),
    "the CRUSH map has one OSD on one host and keeps its tree; rules can be made": (
        f"osd crush add name=id,type=CephOsdName {_WEIGHT} {_PLACE}",
        f"osd crush add-bucket name=name,{_NAME} name=type,type=CephString {_PLACE},req=false",
        "osd crush class create name=class,type=CephString,goodchars=[A-Za-z0-9-_]",
        "osd crush class rename name=srcname,type=CephString,goodchars=[A-Za-z0-9-_] "
        "name=dstname,type=CephString,goodchars=[A-Za-z0-9-_]",
        "osd crush class rm name=class,type=CephString,goodchars=[A-Za-z0-9-_]",
        f"osd crush create-or-move name=id,type=CephOsdName {_WEIGHT} {_PLACE}",
        f"osd crush link name=name,type=CephString {_PLACE}",
        f"osd crush move name=name,{_NAME} {_PLACE}",
        f"osd crush remove name=name,{_NAME} name=ancestor,{_NAME},req=false",
        f"osd crush rename-bucket name=srcname,{_NAME} name=dstname,{_NAME}",
        f"osd crush reweight name=name,{_NAME} {_WEIGHT}",
        "osd crush reweight-all",
        f"osd crush reweight-subtree name=name,{_NAME} {_WEIGHT}",
        f"osd crush rm name=name,{_NAME} name=ancestor,{_NAME},req=false",
        f"osd crush rm-device-class {_IDS}",
        "osd crush set name=prior_version,type=CephInt,req=false",
        "osd crush set-all-straw-buckets-to-straw2",
        f"osd crush set-device-class name=class,type=CephString {_IDS}",
        "osd crush set-tunable name=tunable,type=CephChoices,strings=straw_calc_version "
        "name=value,type=CephInt",
        f"osd crush swap-bucket name=source,{_NAME} name=dest,{_NAME} {_SURE}",
        "osd crush tunables "
        "name=profile,type=CephChoices,strings=legacy|argonaut|bobtail|firefly|hammer|jewel|optimal|default",
        f"osd crush unlink name=name,{_NAME} name=ancestor,{_NAME},req=false",
        "osd setcrushmap name=prior_version,type=CephInt,req=false",
        "osd setmaxosd name=newmax,type=CephInt,range=0",
    ),
    "flags are set for the whole cluster here: `osd set`, `osd unset`": (
        f"osd add-nodown {_IDS}",
        f"osd add-noin {_IDS}",
        f"osd add-noout {_IDS}",
        f"osd add-noup {_IDS}",
        f"osd rm-nodown {_IDS}",
        f"osd rm-noin {_IDS}",
        f"osd rm-noout {_IDS}",
        f"osd rm-noup {_IDS}",
        "osd set-group name=flags,type=CephString name=who,type=CephString,n=N",
        "osd unset-group name=flags,type=CephString name=who,type=CephString,n=N",
    ),
    "every placement group is on the one OSD": (
        "osd pg-temp name=pgid,type=CephPgid name=id,type=CephOsdName,n=N,req=false",
        "osd pg-upmap name=pgid,type=CephPgid name=id,type=CephOsdName,n=N",
        "osd pg-upmap-items name=pgid,type=CephPgid name=id,type=CephOsdName,n=N",
        "osd primary-temp name=pgid,type=CephPgid name=id,type=CephOsdName",
        "osd rm-pg-upmap name=pgid,type=CephPgid",
        "osd rm-pg-upmap-items name=pgid,type=CephPgid",
    ),
    "there is one OSD, so there is nothing to balance": (
        f"osd reweight-by-pg {_LIMITS} name=pools,type=CephPoolname,n=N,req=false",
        f"osd reweight-by-utilization {_LIMITS} "
        "name=no_increasing,type=CephChoices,strings=--no-increasing,req=false",
        "osd reweightn name=weights,type=CephString",
        f"osd test-reweight-by-pg {_LIMITS} name=pools,type=CephPoolname,n=N,req=false",
        f"osd test-reweight-by-utilization {_LIMITS} name=no_increasing,type=CephBool,req=false",
    ),
    "there is one OSD, so alternative weights would change nothing": (
        "osd crush weight-set create name=pool,type=CephPoolname "
        "name=mode,type=CephChoices,strings=flat|positional",
        "osd crush weight-set create-compat",
        "osd crush weight-set reweight name=pool,type=CephPoolname name=item,type=CephString "
        f"{_WEIGHT},n=N",
        f"osd crush weight-set reweight-compat name=item,type=CephString {_WEIGHT},n=N",
        "osd crush weight-set rm name=pool,type=CephPoolname",
        "osd crush weight-set rm-compat",
    ),
    "pools are replicated here, not erasure coded": (
        f"osd crush rule create-erasure name=name,{_NAME} "
        "name=profile,type=CephString,goodchars=[A-Za-z0-9-_.=],req=false",
        f"osd erasure-code-profile rm name=name,{_NAME}",
        f"osd erasure-code-profile set name=name,{_NAME} "
        "name=profile,type=CephString,n=N,req=false name=force,type=CephBool,req=false",
    ),
    "pools are no cache tiers of one another here": (
        "osd tier add name=pool,type=CephPoolname name=tierpool,type=CephPoolname "
        "name=force_nonempty,type=CephChoices,strings=--force-nonempty,req=false",
        "osd tier add-cache name=pool,type=CephPoolname name=tierpool,type=CephPoolname "
        "name=size,type=CephInt,range=0",
        "osd tier cache-mode name=pool,type=CephPoolname "
        f"name=mode,type=CephChoices,strings=writeback|proxy|readproxy|readonly|none {_SURE}",
        "osd tier remove name=pool,type=CephPoolname name=tierpool,type=CephPoolname",
        "osd tier remove-overlay name=pool,type=CephPoolname",
        "osd tier rm name=pool,type=CephPoolname name=tierpool,type=CephPoolname",
        "osd tier rm-overlay name=pool,type=CephPoolname",
        "osd tier set-overlay name=pool,type=CephPoolname name=overlaypool,type=CephPoolname",
    ),
    "the object store has one copy of each object, so there is nothing to compare": (
        "osd deep-scrub name=who,type=CephString",
        "osd pool deep-scrub name=who,type=CephPoolname,n=N",
        "osd pool repair name=who,type=CephPoolname,n=N",
        "osd pool scrub name=who,type=CephPoolname,n=N",
        "osd repair name=who,type=CephString",
        "osd scrub name=who,type=CephString",
        "pg deep-scrub name=pgid,type=CephPgid",
        "pg repair name=pgid,type=CephPgid",
        "pg scrub name=pgid,type=CephPgid",
    ),
    "placement groups are always there, so there is nothing to recover": (
        f"osd force-create-pg name=pgid,type=CephPgid {_SURE}",
        "osd pool cancel-force-backfill name=who,type=CephPoolname,n=N",
        "osd pool cancel-force-recovery name=who,type=CephPoolname,n=N",
        "osd pool force-backfill name=who,type=CephPoolname,n=N",
        "osd pool force-recovery name=who,type=CephPoolname,n=N",
        "pg cancel-force-backfill name=pgid,type=CephPgid,n=N",
        "pg cancel-force-recovery name=pgid,type=CephPgid,n=N",
        "pg force-backfill name=pgid,type=CephPgid,n=N",
        "pg force-recovery name=pgid,type=CephPgid,n=N",
        "pg repeer name=pgid,type=CephPgid",
    ),
    "there is one site, so there is no stretch mode": (
        f"osd force_healthy_stretch_mode {_SURE}",
        f"osd force_recovery_stretch_mode {_SURE}",
    ),
    "it is about the inner life of a manager, and there is none": (
        "osd last-stat-seq name=id,type=CephOsdName",
        "pg debug name=debugop,type=CephChoices,strings=unfound_objects_exist|degraded_pgs_exist",
        "pg getmap",
    ),
}
_DEPRECATED: Final = (
    "osd add-nodown", "osd add-noin", "osd add-noout", "osd add-noup", "osd create",
    "osd crush remove", "osd rm", "osd rm-nodown", "osd rm-noin", "osd rm-noout", "osd rm-noup",
    "osd tier remove", "osd tier remove-overlay",
)  # fmt: skip
_HIDDEN: Final = (
    "osd destroy-actual", "osd purge-actual",
)  # fmt: skip
_READ_ONLY: Final = (
    "osd last-stat-seq", "osd test-reweight-by-pg", "osd test-reweight-by-utilization", "pg debug",
    "pg getmap",
)  # fmt: skip


class RefusedCommands:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    def refuse(self, ctx: CommandContext, args: Args) -> CommandResult:
        """Say why not. Raises CommandError (EOPNOTSUPP)."""
        raise fail(errno.EOPNOTSUPP, f"{ctx.prefix} is not supported: {_WHY[ctx.prefix]}")


_WHY: Final[dict[str, str]] = {}
for _reason, _descs in REFUSED.items():
    for _desc in _descs:
        _prefix = _desc.partition(" name=")[0]
        _WHY[_prefix] = _reason
        command(
            _desc,
            module="pg" if _prefix.startswith("pg ") and _prefix != "pg repeer" else "osd",
            perm="r" if _prefix in _READ_ONLY else "rw",
            about=f"not supported here: {_reason}",
            flags=(FLAG_DEPRECATED if _prefix in _DEPRECATED else 0)
            | (FLAG_HIDDEN if _prefix in _HIDDEN else 0),
        )(RefusedCommands.refuse)
