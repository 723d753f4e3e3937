"""One scrub that was asked for, and what checking one inode has found.

Behaviour: ceph/ceph, src/mds/ScrubHeader.h, src/mds/CInode.h (validated_data) (Pacific)
"""

from __future__ import annotations

from typing import Any

from attrs import define, field


@define(eq=False)
class ScrubHeader:
    """What was asked for.

    Attributes:
        tag: its name; `internal_tag`: we made it up, so it is not noted with the objects.
        path, origin: where it began.
        scrub_mdsdir: the rank's own directory is checked, too.
        repaired: something was mended.
    """

    tag: str
    path: str
    origin: int
    internal_tag: bool = False
    force: bool = False
    recursive: bool = False
    repair: bool = False
    scrub_mdsdir: bool = False
    num_pending: int = 0
    repaired: bool = False

    def options(self) -> str:
        """As `scrub status` shows them."""
        names = (
            ("recursive", self.recursive),
            ("repair", self.repair),
            ("force", self.force),
            ("scrub_mdsdir", self.scrub_mdsdir),
        )
        return ",".join(name for name, on in names if on)

    def dump(self) -> dict[str, Any]:
        return {"path": self.path, "tag": self.tag, "options": self.options()}


@define
class Check:
    """One of the things that are checked about an inode.

    Attributes:
        ondisk_read_retval: 0 or a negative errno.
        memory, ondisk: what each side has, for the log.
        error: in words, "" when it passed.
    """

    checked: bool = False
    passed: bool = False
    repaired: bool = False
    ondisk_read_retval: int = 0
    memory: Any = None
    ondisk: Any = None
    error: str = ""

    def dump(self) -> dict[str, Any]:
        return {
            "checked": self.checked,
            "passed": self.passed,
            "read_ret_val": self.ondisk_read_retval,
            "ondisk_value": str(self.ondisk),
            "memoryvalue": str(self.memory),
            "error_str": self.error,
        }


@define
class Validation:
    """What checking an inode has found."""

    performed: bool = False
    passed: bool = False
    backtrace: Check = field(factory=Check)
    inode: Check = field(factory=Check)
    raw_stats: Check = field(factory=Check)

    def all_damage_repaired(self) -> bool:
        """Whether everything that did not pass was mended."""
        checks = (self.backtrace, self.inode, self.raw_stats)
        return not any(c.checked and not c.passed and not c.repaired for c in checks)

    def dump(self) -> dict[str, Any]:
        return {
            "performed_validation": self.performed,
            "passed_validation": self.passed,
            "backtrace": self.backtrace.dump(),
            "raw_stats": self.raw_stats.dump(),
            "return_code": 0,
        }
