"""Commands that change the OSDMap beside its pools: flags, weights, ratios, fences.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (prepare_command_impl) (Pacific), checked against
16.2.15
"""

from __future__ import annotations

import errno
import ipaddress
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.monitor import osd_view
from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    Args,
    CommandContext,
    CommandError,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.osd_commands import osd_argument
from mdsdaemon.embedded.monitor.osd_flags import PGLOG_HARDLIMIT, SETTABLE, flag_string
from mdsdaemon.embedded.monitor.osd_text import general, parse_osd_id, single
from mdsdaemon.maps.osd_map import DEFAULT_PRIMARY_AFFINITY, OSD_IN, OSD_UP
from mdsdaemon.types.entity import EntityAddr
from mdsdaemon.types.release import RELEASES, release_name
from mdsdaemon.types.utime import from_seconds, utime_str

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor
    from mdsdaemon.embedded.monitor.osd_pending import Pending

    Change = Callable[[Pending, int, bool], str]
    """(pending, OSD, whether to speak of what changes nothing) → what was done."""

_SET_FLAGS: Final = "full|" + "|".join(SETTABLE)
_IDS: Final = "name=ids,type=CephString,n=N"
_ALL: Final = ("any", "all", "*")

END_OF_TIME: Final = (1 << 32) - 1
"""The last second that a utime_t holds."""


class OSDStateCommands:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    # -- flags ------------------------------------------------------------------------------

    def _flip(self, bits: int, *, on: bool) -> CommandResult:
        with self._osd.change() as pending:
            flags = pending.flags()
            pending.set_flags(flags | bits if on else flags & ~bits)
        return CommandResult(0, f"{flag_string(bits)} is {'set' if on else 'unset'}")

    @command(
        f"osd set name=key,type=CephChoices,strings={_SET_FLAGS}|pglog_hardlimit "
        "name=yes_i_really_mean_it,type=CephBool,req=false",
        module="osd",
        perm="rw",
        about="set a flag of the map",
    )
    def osd_set(self, ctx: CommandContext, args: Args) -> CommandResult:
        key = args.need_str("key")
        if key == "pglog_hardlimit":
            return self._flip(PGLOG_HARDLIMIT, on=True)
        return self._flip(_flag(key), on=True)

    @command(
        f"osd unset name=key,type=CephChoices,strings={_SET_FLAGS}",
        module="osd",
        perm="rw",
        about="clear a flag of the map",
    )
    def osd_unset(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._flip(_flag(args.need_str("key")), on=False)

    @command("osd pause", module="osd", perm="rw", about="stop all reads and writes")
    def osd_pause(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._flip(SETTABLE["pause"], on=True)

    @command("osd unpause", module="osd", perm="rw", about="let reads and writes go on")
    def osd_unpause(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._flip(SETTABLE["pause"], on=False)

    # -- OSDs -------------------------------------------------------------------------------

    @command(
        f"osd down {_IDS} name=definitely_dead,type=CephBool,req=false",
        module="osd",
        perm="rw",
        about="mark OSDs down; those that run come back",
    )
    def osd_down(self, ctx: CommandContext, args: Args) -> CommandResult:
        dead = args.get_bool("definitely_dead")

        def down(pending: Pending, osd: int, verbose: bool) -> str:
            if dead:
                pending.xinfo(osd).dead_epoch = pending.epoch
            if not pending.state(osd) & OSD_UP:
                return f"osd.{osd} is already down. " if verbose else ""
            pending.flip_state(osd, OSD_UP)
            return f"marked down osd.{osd}. "

        return self._for_each(args, down)

    @command(f"osd out {_IDS}", module="osd", perm="rw", about="place no data on OSDs")
    def osd_out(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map = self._osd.map
        who = ctx.session.entity_name if ctx.session is not None else "client.admin"

        def out(pending: Pending, osd: int, verbose: bool) -> str:
            weight = osd_map.client.osd_weight[osd]
            if not weight:
                return f"osd.{osd} is already out. " if verbose else ""
            pending.inc.client.new_weight[osd] = 0
            pending.xinfo(osd).old_weight = weight
            up = ", while it was still marked up" if osd_map.is_up(osd) else ""
            self._osd.cluster_log("info", f"Client {who} marked osd.{osd} out{up}")
            return f"marked out osd.{osd}. "

        return self._for_each(args, out)

    @command(f"osd in {_IDS}", module="osd", perm="rw", about="place data on OSDs again")
    def osd_in(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map = self._osd.map

        def mark_in(pending: Pending, osd: int, verbose: bool) -> str:
            if osd_map.client.osd_weight[osd]:
                return f"osd.{osd} is already in. " if verbose else ""
            info = pending.xinfo(osd)
            pending.inc.client.new_weight[osd] = info.old_weight or OSD_IN
            info.old_weight = 0
            return f"marked in osd.{osd}. "

        return self._for_each(args, mark_in)

    def _for_each(self, args: Args, change: Change) -> CommandResult:
        osd_map, text, status = self._osd.map, "", 0
        with self._osd.change() as pending:
            for position, word in enumerate(args.get_strs("ids")):
                if position == 0 and word in _ALL:
                    for osd in osd_view.existing(osd_map):
                        text += change(pending, osd, False)
                    break
                try:
                    osd = parse_osd_id(word)
                except CommandError as error:
                    text += f"{error.text} invalid osd id {word}. "
                    status = -errno.EINVAL
                    continue
                if osd_map.exists(osd):
                    text += change(pending, osd, True)
                else:
                    text += f"osd.{osd} does not exist. "
        return CommandResult(status, text)

    @command(
        "osd reweight name=id,type=CephOsdName name=weight,type=CephFloat,range=0.0|1.0",
        module="osd",
        perm="rw",
        about="place more or less data on an OSD",
    )
    def osd_reweight(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd, weight = self._osd_and_weight(args)
        scaled = int(OSD_IN * weight)
        with self._osd.change() as pending:
            pending.inc.client.new_weight[osd] = scaled
        return CommandResult(0, f"reweighted osd.{osd} to {general(weight)} ({scaled:x})")

    @command(
        "osd primary-affinity name=id,type=CephOsdName name=weight,type=CephFloat,range=0.0|1.0",
        module="osd",
        perm="rw",
        about="let an OSD lead more or less of what it holds",
    )
    def osd_primary_affinity(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd, weight = self._osd_and_weight(args)
        scaled = int(DEFAULT_PRIMARY_AFFINITY * weight)
        with self._osd.change() as pending:
            pending.inc.client.new_primary_affinity[osd] = scaled
        # Ceph means to print hex and prints the numbers of the stream flags around it
        text = f"set osd.{osd} primary-affinity to {general(weight)} (8{scaled}2)"
        return CommandResult(0, text)

    def _osd_and_weight(self, args: Args) -> tuple[int, float]:
        osd, weight = osd_argument(args), args.get_float("weight")
        if osd is None or weight is None:
            raise fail(errno.EINVAL, "an osd id and a weight are needed")
        if not 0.0 <= weight <= 1.0:
            raise fail(errno.EINVAL, "weight must be from 0.0 to 1.0")
        if not self._osd.map.exists(osd):
            raise fail(errno.ENOENT, f"osd.{osd} does not exist")
        return osd, weight

    # -- settings ---------------------------------------------------------------------------

    @command(
        "osd set-full-ratio name=ratio,type=CephFloat,range=0.0|1.0",
        module="osd",
        perm="rw",
        about="from which usage on nothing is written",
    )
    @command(
        "osd set-backfillfull-ratio name=ratio,type=CephFloat,range=0.0|1.0",
        module="osd",
        perm="rw",
        about="from which usage on data is not moved to an OSD",
    )
    @command(
        "osd set-nearfull-ratio name=ratio,type=CephFloat,range=0.0|1.0",
        module="osd",
        perm="rw",
        about="from which usage on there is a warning",
    )
    def osd_set_ratio(self, ctx: CommandContext, args: Args) -> CommandResult:
        ratio = args.get_float("ratio")
        if ratio is None or not 0.0 <= ratio <= 1.0:
            raise fail(errno.EINVAL, "unable to parse 'ratio' value: a number from 0.0 to 1.0")
        with self._osd.change() as pending:
            if ctx.prefix == "osd set-full-ratio":
                pending.inc.osd.new_full_ratio = single(ratio)
            elif ctx.prefix == "osd set-backfillfull-ratio":
                pending.inc.osd.new_backfillfull_ratio = single(ratio)
            else:
                pending.inc.osd.new_nearfull_ratio = single(ratio)
        self._osd.check_usage()
        return CommandResult(0, f"{ctx.prefix} {general(ratio)}")

    @command(
        "osd set-require-min-compat-client name=version,type=CephString "
        "name=yes_i_really_mean_it,type=CephBool,req=false",
        module="osd",
        perm="rw",
        about="keep the map readable for clients from this release on",
    )
    def osd_set_require_min_compat_client(self, ctx: CommandContext, args: Args) -> CommandResult:
        version = args.need_str("version")
        release = _release(version)
        if not release:
            raise fail(errno.EINVAL, f"version {version} is not recognized")
        needed = osd_view.min_compat_client(self._osd.map)
        if release < RELEASES.index(needed):
            raise fail(
                errno.EPERM,
                f"osdmap current utilizes features that require {needed}; "
                f"cannot set require_min_compat_client below that to {version}",
            )
        with self._osd.change() as pending:
            pending.inc.osd.new_require_min_compat_client = release
        return CommandResult(0, f"set require_min_compat_client to {release_name(release)}")

    @command(
        "osd require-osd-release "
        "name=release,type=CephChoices,strings=luminous|mimic|nautilus|octopus|pacific "
        "name=yes_i_really_mean_it,type=CephBool,req=false",
        module="osd",
        perm="rw",
        about="the oldest release of OSDs that may come up",
    )
    def osd_require_osd_release(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("release")
        release, now = _release(name), self._osd.map.osd.require_osd_release
        if not release:
            raise fail(errno.EINVAL, f"unrecognized release {name}")
        if release < now:
            raise fail(errno.EPERM, "require_osd_release cannot be lowered once it has been set")
        return CommandResult()

    # -- fences -----------------------------------------------------------------------------

    @command(
        "osd blocklist name=range,type=CephString,goodchars=[range],req=false "
        "name=blocklistop,type=CephChoices,strings=add|rm name=addr,type=CephEntityAddr "
        "name=expire,type=CephFloat,range=0.0,req=false",
        module="osd",
        perm="rw",
        about="fence a client (or a network of them) for a time, or let it in again",
    )
    @command(
        "osd blacklist name=blacklistop,type=CephChoices,strings=add|rm "
        "name=addr,type=CephEntityAddr name=expire,type=CephFloat,range=0.0,req=false",
        module="osd",
        perm="rw",
        about="fence a client for a time, or let it in again",
        flags=FLAG_DEPRECATED,
    )
    def osd_blocklist(self, ctx: CommandContext, args: Args) -> CommandResult:
        is_range = args.get_str("range") == "range"
        text = args.need_str("addr")
        addr = _network(text) if is_range else _instance(text)
        op = args.get_str("blocklistop") or args.get_str("blacklistop")
        if op == "add":
            expire = args.get_float("expire")
            if expire is None:
                expire = self._osd.mon.config.get_float("mon_osd_blocklist_default_expire")
            if not expire >= 0.0:
                raise fail(errno.EINVAL, "expire must not be negative")
            until = from_seconds(min(ctx.now + expire, END_OF_TIME))
            with self._osd.change() as pending:
                new = pending.inc.osd
                (new.new_range_blocklist if is_range else new.new_blocklist)[addr] = until
            return CommandResult(
                0, f"blocklisting {addr} until {utime_str(until)} ({general(expire)} sec)"
            )
        if op != "rm":
            raise fail(errno.EINVAL, "add or rm is needed")
        rest = self._osd.map.osd
        if addr not in (rest.range_blocklist if is_range else rest.blocklist):
            return CommandResult(0, f"{addr} isn't blocklisted")
        with self._osd.change() as pending:
            new = pending.inc.osd
            (new.old_range_blocklist if is_range else new.old_blocklist).append(addr)
        return CommandResult(0, f"un-blocklisting {addr}")

    @command("osd blocklist clear", module="osd", perm="rw", about="let all fenced clients in")
    @command(
        "osd blacklist clear",
        module="osd",
        perm="rw",
        about="let all fenced clients in",
        flags=FLAG_DEPRECATED,
    )
    def osd_blocklist_clear(self, ctx: CommandContext, args: Args) -> CommandResult:
        with self._osd.change() as pending:
            pending.inc.osd.old_blocklist += list(self._osd.map.osd.blocklist)
            pending.inc.osd.old_range_blocklist += list(self._osd.map.osd.range_blocklist)
        return CommandResult(0, " removed all blocklist entries")


def _flag(key: str) -> int:
    if key not in SETTABLE:
        raise fail(errno.EINVAL, f"unrecognized flag '{key}'")
    return SETTABLE[key]


def _release(name: str) -> int:
    """The number of a release up to ours, 0 for others."""
    known = RELEASES[: RELEASES.index("pacific") + 1]
    return known.index(name) if name in known else 0


def _instance(text: str) -> EntityAddr:
    try:
        addr = EntityAddr.parse(text)
    except ValueError:
        addr = EntityAddr()
    if not addr.host:
        raise fail(errno.EINVAL, f"unable to parse address {text}")
    return EntityAddr(EntityAddr.TYPE_ANY, addr.nonce, addr.host, addr.port)


def _network(text: str) -> EntityAddr:
    host, slash, bits = text.partition("/")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise fail(errno.EINVAL, f"unable to parse address {text}") from None
    if not slash or not bits.isdecimal():
        raise fail(
            errno.EINVAL,
            f"You specified a range command, but {text} does not parse as a CIDR range",
        )
    if int(bits) > address.max_prefixlen:
        raise fail(errno.EINVAL, "Too many bits in range for that protocol!")
    return EntityAddr(EntityAddr.TYPE_CIDR, int(bits), str(address), 0)
