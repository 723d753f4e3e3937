"""What a key allows its owner at the monitor."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from mdsdaemon.types.entity import EntityAddr, EntityName


@frozen
class MonCaps:
    """The grants of a mon caps string."""

    text: str = ""

    @classmethod
    def allow_all(cls) -> MonCaps:
        return cls("allow *")

    def is_capable(
        self,
        name: EntityName,
        service: str,
        command: str,
        args: Mapping[str, str],
        perms: str,
        addr: EntityAddr | None,
    ) -> bool:
        return True
