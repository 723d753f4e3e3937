"""The options that the configuration database sets, and for whom.

A key is ``SECTION[/MASK…]/OPTION``: section ``global``, a daemon type or a name (``mds.a``); masks
``class:CLASS`` and ``TYPE:PLACE`` (a place of the CRUSH map, such as ``host:foo``).

Format: ceph/ceph, src/mon/ConfigMap.h, ConfigMap.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from attrs import field, frozen

from mdsdaemon.config.options import Option, find_option
from mdsdaemon.types.entity import TYPES_BY_NAME, EntityName

DUMP_ORDER: Final = ("mon", "mgr", "osd", "mds", "client")

RENAMED: Final = {
    "mon_osd_blacklist_default_expire": "mon_osd_blocklist_default_expire",
    "mon_mds_blacklist_interval": "mon_mds_blocklist_interval",
    "mon_mgr_blacklist_interval": "mon_mgr_blocklist_interval",
    "rbd_blacklist_on_break_lock": "rbd_blocklist_on_break_lock",
    "rbd_blacklist_expire_seconds": "rbd_blocklist_expire_seconds",
    "mds_session_blacklist_on_timeout": "mds_session_blocklist_on_timeout",
    "mds_session_blacklist_on_evict": "mds_session_blocklist_on_evict",
}


class BadTarget(ValueError):
    """A target that is neither global, a daemon type nor a name, with or without masks."""


@frozen
class Target:
    """For whom an option is set."""

    section: str = "global"
    location_type: str = ""
    location_value: str = ""
    device_class: str = ""

    @classmethod
    def parse(cls, text: str) -> Target:
        """From ``mds.a/host:foo``; raises BadTarget."""
        section = "global"
        location, device_class = ("", ""), ""
        for part in text.split("/"):
            kind, colon, value = part.partition(":")
            if part == "global":
                section = "global"
            elif colon and kind == "class":
                device_class = value
            elif colon:
                location = (kind, value)
            elif part.partition(".")[0] in TYPES_BY_NAME:
                section = part
            else:
                raise BadTarget(text)
        return cls(section, *location, device_class)

    @property
    def mask(self) -> str:
        """``host:foo/class:ssd``."""
        parts = []
        if self.location_type:
            parts.append(f"{self.location_type}:{self.location_value}")
        if self.device_class:
            parts.append(f"class:{self.device_class}")
        return "/".join(parts)

    def dump_mask(self) -> dict[str, str]:
        """As in JSON."""
        out: dict[str, str] = {}
        if self.location_type:
            out["location_type"] = self.location_type
            out["location_value"] = self.location_value
        if self.device_class:
            out["device_class"] = self.device_class
        return out

    def key(self, option: str) -> str:
        """The key of an option for this target."""
        return "/".join(part for part in (self.section, self.mask, option) if part)


@frozen
class MaskedOption:
    """One setting. `option` is a stand-in where no option of that name is known."""

    target: Target
    name: str
    value: str = field(repr=False)

    @cached_property
    def option(self) -> Option:
        return find_option(self.name) or Option(self.name, "str", "unknown", "")

    @property
    def can_update_at_runtime(self) -> bool:
        return self.option.level != "unknown" and self.option.can_update_at_runtime

    def dump(self) -> dict[str, Any]:
        """As `config dump` has it."""
        return {
            "section": self.target.section,
            "name": self.name,
            "value": self.value,
            "level": self.option.level,
            "can_update_at_runtime": self.can_update_at_runtime,
            "mask": self.target.mask,
            **self.target.dump_mask(),
        }


def parse_key(key: str) -> tuple[str, str]:
    """(target, option) of a key; options of the manager's modules have slashes of their own."""
    at = key.find("/mgr/")
    if at >= 0:
        return key[:at], key[at + 1 :]
    who, _, name = key.rpartition("/")
    return who, name


class ConfigMap:
    """All settings, by section."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        """`entries` by key; those that cannot be are left out."""
        self.sections: dict[str, list[MaskedOption]] = {}
        for key, value in sorted(entries.items()):
            who, name = parse_key(key)
            try:
                target = Target.parse(who or "global")
            except BadTarget:
                continue
            item = MaskedOption(target, RENAMED.get(name, name), value)
            if "no_mon_update" not in item.option.flags:
                self.sections.setdefault(target.section, []).append(item)
        for items in self.sections.values():
            items.sort(key=lambda item: item.name)

    def __iter__(self) -> Iterator[MaskedOption]:
        """In the order of `config dump`."""
        yield from self.sections.get("global", [])
        for kind in DUMP_ORDER:
            yield from self.sections.get(kind, [])
            for section in sorted(self.sections):
                if section.startswith(kind + "."):
                    yield from self.sections[section]

    def for_entity(
        self,
        name: EntityName,
        location: Mapping[str, str],
        device_class: str,
        type_ids: Mapping[str, int],
    ) -> dict[str, MaskedOption]:
        """What is set for an entity that stands at `location` (CRUSH type → name), by option.

        The order is: global, type, then by name from ``client.a`` to ``client.a.b``; in one
        section a setting for a place precedes one for a device class, and that one for all;
        of two places the one of the lower type (`type_ids`: CRUSH types by name) counts.
        """
        sections = ["global"]
        bits = str(name).split(".")
        sections += [".".join(bits[: n + 1]) for n in range(len(bits))]
        out: dict[str, MaskedOption] = {}
        for section in sections:
            best: dict[str, int] = {}
            for item in self.sections.get(section, []):
                target = item.target
                if target.device_class and target.device_class != device_class:
                    continue
                if (
                    target.location_type
                    and location.get(target.location_type) != target.location_value
                ):
                    continue
                rank = len(type_ids) + (not target.device_class)
                if target.location_type:
                    rank = type_ids.get(target.location_type, rank)
                if rank <= best.get(item.name, rank):
                    best[item.name] = rank
                    out[item.name] = item
        return dict(sorted(out.items()))
