"""The catalogue of messages names every type's module, and a type is there when it is met."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import mdsdaemon.messages
from mdsdaemon.encoding import DecodeError
from mdsdaemon.messages import catalogue
from mdsdaemon.messages.base import TYPES, decode_message

NAMES = [module.name for module in pkgutil.iter_modules(mdsdaemon.messages.__path__)]


def test_all_can_be_loaded_at_once() -> None:
    program = """
from mdsdaemon.messages import base, catalogue
catalogue.load_all()
assert set(base.TYPES) == {code for codes in catalogue.MODULES.values() for code in codes}
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_message_is_in_the_catalogue() -> None:
    for name in NAMES:
        import_module(f"mdsdaemon.messages.{name}")
    found: dict[str, set[int]] = {}
    for code, cls in TYPES.items():
        package, _, module = cls.__module__.rpartition(".")
        if package == mdsdaemon.messages.__name__:  # other tests have messages of their own
            found.setdefault(module, set()).add(code)
    assert found == {name: set(codes) for name, codes in catalogue.MODULES.items()}


def test_a_type_is_loaded_when_it_is_met() -> None:
    program = """
import sys
from mdsdaemon.messages.base import TYPES, decode_message
assert 2 not in TYPES and "mdsdaemon.messages.ping" not in sys.modules
msg = decode_message(2, 1, 1, b"", b"", b"", 0)
assert type(msg).__name__ == "MPing" and TYPES[2] is type(msg)
assert "mdsdaemon.messages.mds" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_nobody_knows_is_refused() -> None:
    with pytest.raises(DecodeError, match="unknown message type 9999"):
        decode_message(9999, 1, 1, b"", b"", b"", 0)


def test_a_standby_is_not_loaded_with_what_ranks_and_clients_say() -> None:
    program = """
import sys
import mdsdaemon.daemon.runner
loaded = [name for name in sys.modules if name.startswith("mdsdaemon.")]
late = ("messages.client_", "messages.osd", "messages.pool", "types.inode", "types.osd",
        "rank.session", "clients.objecter", "maps.osd_map")
wrong = [name for name in loaded if name.removeprefix("mdsdaemon.").startswith(late)]
assert not wrong, wrong
"""
    subprocess.run([sys.executable, "-c", program], check=True)
