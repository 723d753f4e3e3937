"""Modules that are loaded when something in them is first used, not when they are imported.

Trio and attrs import modules for what a daemon on its way to a standby does not do: TLS, temporary
files, the source text of tracebacks. They are a twelfth of what it loads until then. While
`deferred` is in force, importing one of `NAMES` gives an empty module, which fills itself the first
time that somebody asks it for something. `load` fills those that are still empty: a daemon that
serves must not come upon a file that is gone, or no longer to be read.

For programs only: a host that embeds a daemon imports as it likes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from importlib.abc import Loader

NAMES: Final = frozenset(("ipaddress", "locale", "ntpath", "shutil", "ssl", "tempfile", "tokenize"))
"""Modules, not packages: importing a part of one would find the whole still empty."""

_lock = RLock()
_empty: dict[str, ModuleType] = {}
"""Deferred modules that nobody has used yet."""


class _LateModule(ModuleType):
    """A module that has its name, file and the like, and nothing of its own yet."""

    def __getattr__(self, name: str) -> Any:
        _fill(self)
        if type(self) is _LateModule:  # it is being filled, by this very thread
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} yet")
        return getattr(self, name)

    def __dir__(self) -> list[str]:
        _fill(self)
        return list(self.__dict__)


def _fill(module: ModuleType) -> None:
    """Load a module, unless it is loaded. It stays empty when that fails."""
    with _lock:
        if _empty.pop(module.__name__, None) is None:
            return
        try:
            assert module.__spec__ is not None
            assert module.__spec__.loader is not None
            module.__spec__.loader.exec_module(module)
        except BaseException:
            _empty[module.__name__] = module
            raise
        module.__class__ = ModuleType


class _LateLoader:
    """In the place of a module's own loader."""

    def __init__(self, own: Loader) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._own
        module.__class__ = _LateModule
        _empty[module.__name__] = module


class _LateFinder:
    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in NAMES else None
        if spec is not None and spec.loader is not None:
            spec.loader = _LateLoader(spec.loader)  # type: ignore[assignment]
        return spec


@contextmanager
def deferred() -> Iterator[None]:
    """What of `NAMES` is first imported in this block, until `load`, is loaded when it is used."""
    sys.meta_path.insert(0, _LateFinder)
    try:
        yield
    finally:
        _remove_finder()


def load() -> None:
    """Load what was deferred and not used yet; nothing is deferred from now on."""
    _remove_finder()
    for module in list(_empty.values()):
        _fill(module)


def _remove_finder() -> None:
    if _LateFinder in sys.meta_path:
        sys.meta_path.remove(_LateFinder)
