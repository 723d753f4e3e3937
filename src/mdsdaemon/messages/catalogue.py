"""Which module has which messages: a module is loaded when one of them is sent or first received.

A standby meets a third of the types; making the classes of the others would take as long as all
the rest of its start.
"""

from importlib import import_module
from typing import Final

MODULES: Final = {
    "auth": (17, 18),
    "client_caps": (784, 785, 787),
    "client_misc": (23, 27, 28, 29, 786, 788),
    "client_reply": (26,),
    "client_request": (24, 25),
    "client_session": (22,),
    "config": (62, 63),
    "fs_map": (45, 103, 522),
    "log": (52, 53),
    "mds": (21, 97, 98, 100),
    "mgr": (1792, 1793, 1794, 1796, 1800),
    "mon": (4, 5, 15, 16, 19, 20, 50, 51),
    "mon_server": (54, 1795),
    "osd": (41, 42, 43, 44, 61),
    "ping": (2,),
    "pool": (6, 13, 14, 48, 49, 58, 59, 90),
}
"""Type codes by the name of their module in `messages/`."""

_WHERE: Final = {code: name for name, codes in MODULES.items() for code in codes}


def load(type_code: int) -> None:
    """Load the module that has the messages of this type; nothing for a type that nobody knows."""
    if name := _WHERE.get(type_code):
        import_module(f"mdsdaemon.messages.{name}")


def load_all() -> None:
    """Load every module now: later there may be no right to read them."""
    for name in MODULES:
        import_module(f"mdsdaemon.messages.{name}")
