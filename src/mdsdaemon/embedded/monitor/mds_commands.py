"""The commands of `ceph mds`, and `ceph fs dump`.

Behaviour: ceph/ceph, src/mon/MDSMonitor.cc (preprocess_command, filesystem_command) (Pacific
16.2.15, compared with a live monitor)
"""

from __future__ import annotations

import errno
from copy import deepcopy

from mdsdaemon.embedded.monitor import mds_print
from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    FLAG_HIDDEN,
    Args,
    CommandContext,
    CommandResult,
    fail,
)
from mdsdaemon.embedded.monitor.fs_room import (
    FSRoom,
    allowed_names,
    command,
    need_write,
    parse_bool,
)
from mdsdaemon.embedded.monitor.mds_fsmap import FSMapView, Role, RoleError, filtered
from mdsdaemon.embedded.monitor.mds_print import respond
from mdsdaemon.embedded.monitor.mds_state import human_name
from mdsdaemon.maps.compat_set import FeatureSet
from mdsdaemon.maps.mds_info import FLAG_FROZEN, FS_CLUSTER_ID_NONE, GID_NONE
from mdsdaemon.maps.mds_states import State, state_name
from mdsdaemon.messages.formatter import NamedList

_WHO = "name=role_or_gid,type=CephString"


class MDSCommands(FSRoom):
    """See the module."""

    # -- reading ----------------------------------------------------------------------------

    @command("mds stat", module="mds", perm="r", flags=FLAG_HIDDEN, about="daemons in a line")
    def mds_stat(self, ctx: CommandContext, args: Args) -> CommandResult:
        fsmap = self.view(ctx).map
        data = {
            "fsmap": mds_print.dump_fsmap(fsmap),
            "mdsmap_first_committed": self.mds.first_committed,
            "mdsmap_last_committed": fsmap.epoch,
        }
        return respond(ctx, data, mds_print.summary_text(fsmap))

    @command(
        "fs dump name=epoch,type=CephInt,req=false,range=0",
        module="mds",
        perm="r",
        about="all file systems and daemons, of now or of an earlier epoch",
    )
    def fs_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        epoch = args.get_int("epoch")
        fsmap = self.mds.old_map(self.fsmap.epoch if epoch is None else epoch)
        if fsmap is None:
            raise fail(errno.ENOENT, "")
        shown = filtered(fsmap, allowed_names(ctx))
        return respond(
            ctx,
            mds_print.dump_fsmap(shown),
            mds_print.fsmap_text(shown),
            section="fsmap",
            outs=f"dumped fsmap epoch {shown.epoch}",
        )

    @command(
        "mds metadata name=who,type=CephString,req=false",
        module="mds",
        perm="r",
        about="what daemons say of themselves and their hosts",
    )
    def mds_metadata(self, ctx: CommandContext, args: Args) -> CommandResult:
        view, metadata = self.view(ctx), self.mds.state.metadata
        who = args.get_str("who")
        if who is None:
            data = [
                {"name": info.name} | dict(sorted(metadata.get(gid, {}).items()))
                for gid, info in view.infos().items()
            ]
            return respond(ctx, NamedList("mds", data), None)
        try:
            gid = view.gid_from_arg(who)
        except RoleError as error:
            empty = respond(ctx, {}, None)
            return CommandResult(-errno.EINVAL, str(error), empty.outb)
        result = respond(ctx, dict(sorted(metadata.get(gid, {}).items())), None)
        if gid not in metadata:
            return CommandResult(-errno.ENOENT, "", result.outb)
        return result

    @command(
        "mds count-metadata name=property,type=CephString",
        module="mds",
        perm="r",
        about="how many daemons have which value of a metadata field",
    )
    def mds_count_metadata(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.get_str("property") or ""
        return respond(ctx, self.mds.count_metadata(name), None, section=name)

    @command("mds versions", module="mds", perm="r", about="versions that the daemons run")
    def mds_versions(self, ctx: CommandContext, args: Args) -> CommandResult:
        counts = self.mds.count_metadata("ceph_version")
        return respond(ctx, counts, None, section="ceph_version")

    @command(
        "mds compat show",
        module="mds",
        perm="r",
        flags=FLAG_DEPRECATED,
        about="what new file systems need their daemons to know",
    )
    def mds_compat_show(self, ctx: CommandContext, args: Args) -> CommandResult:
        return respond(ctx, self.fsmap.compat.dump(), str(self.fsmap.compat))

    @command(
        "mds ok-to-stop name=ids,type=CephString,n=N",
        module="mds",
        perm="r",
        about="whether enough standbys are left without these daemons",
    )
    def mds_ok_to_stop(self, ctx: CommandContext, args: Args) -> CommandResult:
        if "ids" not in args:
            raise fail(errno.EINVAL, "must specify mds id")
        view, ids = self.view(ctx), args.get_strs("ids")
        if view.is_any_degraded():
            raise fail(errno.EBUSY, "one or more filesystems is currently degraded")
        stopping = {gid for text in ids if (gid := _gid(view, text)) != GID_NONE}
        active, standby = set(), set()
        for gid in stopping:
            fs = view.find(view.fscid_of_gid(gid))
            if fs is None:
                standby.add(gid)
                continue
            info = fs.mds_map.mds_info[gid]
            if info.state != State.STANDBY_REPLAY:
                follower = fs.mds_map.get_standby_replay(info.rank)
                if follower == GID_NONE or follower in stopping:
                    active.add(gid)
        if len(view.map.standby_daemons) - len(standby) < len(active):
            raise fail(
                errno.EBUSY,
                "insufficent standby MDS daemons to stop active gids "
                f"{_gids(active)} and/or standby gids {_gids(standby)}",
            )
        return CommandResult(0, f"should be safe to stop [{','.join(ids)}]")

    # -- daemons ----------------------------------------------------------------------------

    @command(
        f"mds fail {_WHO}",
        module="mds",
        perm="rw",
        about="take a daemon out; a standby gets its rank",
    )
    def mds_fail(self, ctx: CommandContext, args: Args) -> CommandResult:
        who = args.get_str("role_or_gid") or ""
        unseen = f"MDS named '{who}' does not exist, is not up or you lack the permission to see."
        try:
            gid = self.edit.gid_from_arg(who)
        except RoleError as error:
            return CommandResult(0, f"{error}{unseen}")
        if not self.edit.gid_exists(gid, allowed_names(ctx)):
            raise fail(errno.EINVAL, unseen)
        need_write(ctx, self.edit.fs_name_of_gid(gid))
        info = self.edit.info(gid)
        self.mds.state.fail_gid(gid, ctx.now)
        by = ctx.session.entity_name if ctx.session is not None else "the program itself"
        self.mds.state.clog("info", f"{human_name(info)} marked failed by {by}")
        self.settle(ctx)
        return CommandResult(0, f"failed mds gid {gid}")

    @command(
        "mds rm name=gid,type=CephInt,range=0",
        module="mds",
        perm="rw",
        about="forget a daemon that holds no rank",
    )
    def mds_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        gid = _need_int(args, "gid")
        if not self.edit.gid_exists(gid, allowed_names(ctx)):
            return CommandResult(0, f"mds gid {gid} does not exist")
        need_write(ctx, self.edit.fs_name_of_gid(gid))
        info = self.edit.info(gid)
        if info.state > 0:
            raise fail(errno.EBUSY, f"cannot remove active mds.{info.name} rank {info.rank}")
        self.edit.erase(gid, 0)
        self.settle(ctx)
        return CommandResult(0, f"removed mds gid {gid}")

    @command(
        f"mds freeze {_WHO} name=val,type=CephString",
        module="mds",
        perm="rw",
        flags=FLAG_HIDDEN,
        about="leave a daemon where it is, whatever happens",
    )
    def mds_freeze(self, ctx: CommandContext, args: Args) -> CommandResult:
        try:
            gid = self.edit.gid_from_arg(args.get_str("role_or_gid") or "")
        except RoleError as error:
            raise fail(errno.EINVAL, str(error)) from None
        need_write(ctx, self.edit.fs_name_of_gid(gid))
        freeze = parse_bool(args.get_str("val") or "")
        info = self.edit.modify_daemon(gid)
        info.flags = info.flags | FLAG_FROZEN if freeze else info.flags & ~FLAG_FROZEN
        self.settle(ctx)
        return CommandResult(0, f"{'' if freeze else 'un'}freezing mds.{gid}")

    @command(
        "mds set_state name=gid,type=CephInt,range=0 name=state,type=CephInt,range=0|20",
        module="mds",
        perm="rw",
        flags=FLAG_HIDDEN,
        about="write a state into the map, without asking the daemon",
    )
    def mds_set_state(self, ctx: CommandContext, args: Args) -> CommandResult:
        gid, state = _need_int(args, "gid"), _need_int(args, "state")
        if not self.edit.gid_exists(gid, allowed_names(ctx)):
            return CommandResult()
        if self.edit.fscid_of_gid(gid) == FS_CLUSTER_ID_NONE:
            raise fail(errno.EINVAL, f"mds gid {gid} is a standby, whose state only ranks change")
        self.edit.modify_daemon(gid).state = state
        self.settle(ctx)
        return CommandResult(0, f"set mds gid {gid} to state {state} {state_name(state)}")

    # -- ranks ------------------------------------------------------------------------------

    @command(
        "mds repaired name=role,type=CephString",
        module="mds",
        perm="rw",
        about="a damaged rank may be taken again",
    )
    def mds_repaired(self, ctx: CommandContext, args: Args) -> CommandResult:
        try:
            role = self.edit.parse_role(args.get_str("role") or "", allowed_names(ctx))
        except RoleError as error:
            raise fail(errno.EINVAL if error.malformed else errno.ENOENT, str(error)) from None
        fs = self.edit.fs(role.fscid)
        need_write(ctx, fs.mds_map.fs_name)
        if not self.edit.undamaged(fs, role.rank):
            return CommandResult(0, "nothing to do: rank is not damaged")
        self.settle(ctx)
        return CommandResult(0, f"repaired: restoring rank {role}")

    @command(
        "mds rmfailed name=role,type=CephString name=yes_i_really_mean_it,type=CephBool,req=false",
        module="mds",
        perm="rw",
        flags=FLAG_HIDDEN,
        about="forget that a rank has failed",
    )
    def mds_rmfailed(self, ctx: CommandContext, args: Args) -> CommandResult:
        if not args.get_bool("yes_i_really_mean_it"):
            raise fail(
                errno.EPERM,
                "WARNING: this can make your filesystem inaccessible! "
                "Add --yes-i-really-mean-it if you are sure you wish to continue.",
            )
        role = self._role(ctx, args.get_str("role") or "")
        fs = self.edit.fs(role.fscid)
        need_write(ctx, fs.mds_map.fs_name)
        self.edit.modify_filesystem(fs).failed.discard(role.rank)
        self.settle(ctx)
        return CommandResult(0, f"removed failed mds.{role}")

    def _role(self, ctx: CommandContext, text: str) -> Role:
        try:
            return self.edit.parse_role(text, allowed_names(ctx))
        except RoleError as error:
            raise fail(errno.EINVAL, f"{error}invalid role '{text}'") from None

    # -- compat of new file systems ---------------------------------------------------------

    @command(
        "mds compat rm_compat name=feature,type=CephInt,range=0",
        module="mds",
        perm="rw",
        flags=FLAG_DEPRECATED,
        about="new file systems do without a compatible feature",
    )
    def mds_rm_compat(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._rm_feature(ctx, "compat", _need_int(args, "feature"))

    @command(
        "mds compat rm_incompat name=feature,type=CephInt,range=0",
        module="mds",
        perm="rw",
        flags=FLAG_DEPRECATED,
        about="new file systems do without an incompatible feature",
    )
    def mds_rm_incompat(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._rm_feature(ctx, "incompat", _need_int(args, "feature"))

    def _rm_feature(self, ctx: CommandContext, kind: str, number: int) -> CommandResult:
        compat = deepcopy(self.fsmap.compat)
        features: FeatureSet = getattr(compat, kind)
        if number not in features.names:
            return CommandResult(0, f"{kind} feature {number} not present in {compat}")
        del features.names[number]
        features.mask &= ~(1 << number)
        self.edit.set_default_compat(compat)
        self.settle(ctx)
        return CommandResult(0, f"removing {kind} feature {number}")


def _gid(view: FSMapView, text: str) -> int:
    try:
        return view.gid_from_arg(text)
    except RoleError:
        return GID_NONE


def _gids(gids: set[int]) -> str:
    return ",".join(map(str, sorted(gids)))


def _need_int(args: Args, name: str) -> int:
    value = args.get_int(name)
    if value is None:
        raise fail(errno.EINVAL, f"missing required parameter: '{name}'")
    return value
