"""Whether capability strings are such as the services parse.

Behaviour: ceph/ceph, src/mon/AuthMonitor.cc (valid_caps), src/mgr/MgrCap.cc (Pacific)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from mdsdaemon.cephx.caps import CapsError as MDSCapsError
from mdsdaemon.cephx.caps import MDSAuthCaps
from mdsdaemon.embedded.monitor.mon_caps import CapsError, MonCaps

_STR = r"(?:\"[^\"]+\"|'[^']+'|[a-zA-Z0-9_./-]+)"
_S = r"[ \n\t]+"
_RWXA = r"(?:\*|all|rw?x?|wx?|x)"
_NETWORK = rf"(?:{_S}network{_S}[/.:a-fA-F0-9\]\[]+)?"
_PAIR = rf"{_STR}(?:={_STR}|{_S}prefix{_S}{_STR}|{_S}regex{_S}{_STR})"
_PAIRS = rf"{_PAIR}(?:{_S}{_PAIR})*"
_MGR_GRANT = "|".join(
    (
        rf"allow{_S}{_RWXA}{_NETWORK}",
        rf"(?:allow{_S})?profile(?:=|{_S}){_STR}(?:{_S}{_PAIRS})?{_NETWORK}",
        rf"allow{_S}service(?:=|{_S}){_STR}{_S}{_RWXA}{_NETWORK}",
        rf"allow{_S}module(?:=|{_S}){_STR}(?:{_S}with{_S}{_PAIRS})?{_S}{_RWXA}{_NETWORK}",
        rf"allow{_S}command(?:=|{_S}){_STR}(?:{_S}with{_S}{_PAIRS})?{_NETWORK}",
    )
)
_MGR_CAPS: Final = re.compile(
    rf"[ \n\t]*(?:{_MGR_GRANT})[ \n\t]*(?: *[;,] *[ \n\t]*(?:{_MGR_GRANT})[ \n\t]*)*"
)


def _mon(text: str) -> None:
    MonCaps.parse(text)


def _mds(text: str) -> None:
    try:
        MDSAuthCaps.parse(text)
    except MDSCapsError as error:
        raise CapsError(str(error)) from None


def _mgr(text: str) -> None:
    if _MGR_CAPS.fullmatch(text) is None:
        raise CapsError(f"mgr capability parse failed, stopped at '{text}' of '{text}'")


def _osd(text: str) -> None:
    """Replaced by the parser that the object store enforces."""


PARSERS: Final[dict[str, Callable[[str], None]]] = {
    "mon": _mon,
    "mds": _mds,
    "mgr": _mgr,
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
