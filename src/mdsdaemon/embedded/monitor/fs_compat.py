"""What the daemons of a file system, and its clients, must know.

Behaviour: ceph/ceph, src/mon/FSCommands.cc (Pacific 16.2.15, compared with a live monitor)
"""

from __future__ import annotations

import errno
from copy import deepcopy

from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    fail,
)
from mdsdaemon.embedded.monitor.fs_room import FSRoom, command
from mdsdaemon.embedded.monitor.mds_fsmap import parse_int
from mdsdaemon.embedded.monitor.mds_print import FEATURE_NAMES
from mdsdaemon.maps.compat_set import MAX_FEATURE, FeatureSet
from mdsdaemon.types.feature_bitset import FeatureBitset

_SUBOPS = ("add_compat", "add_incompat", "rm_compat", "rm_incompat")


class FSCompat(FSRoom):
    """See the module."""

    @command(
        "fs compat name=fs_name,type=CephString "
        "name=subop,type=CephChoices,strings=rm_compat|rm_incompat|add_compat|add_incompat "
        "name=feature,type=CephInt name=feature_str,type=CephString,req=false",
        module="fs",
        perm="rw",
        about="what daemons must know to serve a file system",
    )
    def fs_compat(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        subop = args.get_str("subop") or ""
        if subop not in _SUBOPS:
            raise fail(
                errno.EINVAL,
                f"subop `{subop}' not recognized. Must be one of: {','.join(_SUBOPS)}",
            )
        number = args.get_int("feature")
        if number is None or not 0 < number <= MAX_FEATURE:
            raise fail(errno.EINVAL, "Invalid feature")
        if fs.mds_map.up:
            raise fail(
                errno.EBUSY,
                "file system must be failed or down; use `ceph fs fail` to bring down",
            )
        action, _, kind = subop.partition("_")
        compat = deepcopy(fs.mds_map.compat)
        features: FeatureSet = getattr(compat, kind)
        if action == "rm":
            said = f"{'removed' if number in features.names else 'already removed'} {kind} feature"
            features.names.pop(number, None)
            features.mask &= ~(1 << number)
            said = f"{said} {number}"
        else:
            said = _add(features, kind, number, args.get_str("feature_str") or "")
        self.edit.modify_filesystem(fs).compat = compat
        self.settle(ctx)
        return CommandResult(0, said)

    @command(
        "fs required_client_features name=fs_name,type=CephString "
        "name=subop,type=CephChoices,strings=add|rm name=val,type=CephString",
        module="mds",
        perm="rw",
        about="what clients must know to mount a file system",
    )
    def fs_required_client_features(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        subop, val = args.get_str("subop") or "", args.get_str("val") or ""
        if subop not in ("add", "rm"):
            raise fail(errno.EINVAL, f"Must either add or rm a feature; {subop} is not recognized")
        if not val:
            raise fail(errno.EINVAL, "Missing feature id/name")
        bit = _feature(val)
        mds_map = self.edit.modify_filesystem(fs)
        bits = set(mds_map.required_client_features.bits())
        name, had = FEATURE_NAMES[bit], bit in bits
        if subop == "add":
            bits.add(bit)
            said = f"feature '{name}' is already set"
            if not had:
                said = f"added feature '{name}' to required_client_features"
        else:
            bits.discard(bit)
            said = f"feature '{name}' is already unset"
            if had:
                said = f"removed feature '{name}' from required_client_features"
        mds_map.required_client_features = FeatureBitset.of(bits)
        self.settle(ctx)
        return CommandResult(0, said)


def _add(features: FeatureSet, kind: str, number: int, name: str) -> str:
    if not name:
        raise fail(errno.EINVAL, "adding a feature requires a feature string")
    if number in features.names:
        old = features.names[number]
        if old != name:
            raise fail(errno.EEXIST, f"feature with differing name `{old}' exists")
        return "feature already exists"
    features.insert(number, name)
    return f'added {kind} feature F({number}, "{name}")'


def _feature(text: str) -> int:
    """The bit that a name or a number stands for."""
    if text in FEATURE_NAMES and text != "reserved":
        return FEATURE_NAMES.index(text)
    try:
        bit = parse_int(text, 32)
    except ValueError:
        raise fail(errno.EINVAL, f"Invalid feature name: {text}") from None
    if not 0 <= bit < len(FEATURE_NAMES):
        raise fail(errno.EINVAL, f"Invalid feature id: {bit}")
    return bit
