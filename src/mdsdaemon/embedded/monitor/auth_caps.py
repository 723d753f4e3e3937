"""Whether capability strings are such as the services parse.

Behaviour: ceph/ceph, src/mon/AuthMonitor.cc (valid_caps), src/mgr/MgrCap.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mdsdaemon.cephx.caps import CapsError as MDSCapsError
from mdsdaemon.cephx.caps import MDSAuthCaps
from mdsdaemon.embedded.monitor.mon_caps import CapsError, MonCaps
from mdsdaemon.embedded.monitor.mon_caps_grammar import check_mgr_caps
from mdsdaemon.embedded.store.osd_caps import OSDCapsError, parse_osd_caps


def _mon(text: str) -> None:
    MonCaps.parse(text)


def _mds(text: str) -> None:
    try:
        MDSAuthCaps.parse(text)
    except MDSCapsError as error:
        raise CapsError(str(error)) from None


def _osd(text: str) -> None:
    try:
        parse_osd_caps(text)
    except OSDCapsError as error:
        raise CapsError(str(error)) from None


PARSERS: Final[dict[str, Callable[[str], None]]] = {
    "mon": _mon,
    "mds": _mds,
    "mgr": check_mgr_caps,
    "osd": _osd,
}
"""Service → what raises CapsError for a string that is not in its language."""


def validate(service: str, text: str) -> None:
    """Raises CapsError: no such service, or not in its language."""
    parser = PARSERS.get(service)
    if parser is None:
        raise CapsError(f"unknown cap type '{service}'")
    parser(text)


def validate_all(caps: Mapping[str, str]) -> None:
    """Raises CapsError at the first that is not in order."""
    for service, text in caps.items():
        validate(service, text)
