"""CRC-32C by the processor's own instructions, from the package `crc32c`.

Of the package only the function in C is loaded: its `__init__` asks for the package's version, for
which Python reads the metadata of what is installed with its parsers of mail and archives. That is
a tenth of what a daemon has to load.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _load() -> Callable[..., int]:
    package = PathFinder.find_spec("crc32c")
    where = package.submodule_search_locations if package is not None else None
    native = PathFinder.find_spec("crc32c._crc32c", where) if where is not None else None
    if native is None or native.loader is None:  # another release may have it elsewhere
        from crc32c import crc32c as function

        return function
    module = module_from_spec(native)
    native.loader.exec_module(module)
    return module.crc32c  # type: ignore[no-any-return]


crc32c = _load()
"""`crc32c(data, value=0)`: the checksum of `data` after what has the checksum `value`."""
