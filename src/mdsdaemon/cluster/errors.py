"""What can go wrong with a one-process cluster."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from mdsdaemon.daemon.outcome import plain_errors
from mdsdaemon.errors import FatalError


class CommandFailedError(Exception):
    """The monitor refused a command of the program itself.

    Attributes:
        errno: positive.
        text: as the monitor says it.
    """

    def __init__(self, prefix: str, number: int, text: str) -> None:
        super().__init__(f"{prefix}: {text or errno.errorcode.get(number, number)}")
        self.errno = number
        self.text = text


@contextmanager
def plain_cluster_errors() -> Iterator[None]:
    """What ends a cluster for a reason that people can see to comes out of all nurseries as a
    bare `FatalError`; bugs stay in their exception groups."""
    try:
        with plain_errors():
            yield
    except BaseExceptionGroup as group:
        expected = _first_expected(group)
        if expected is None:
            raise
        with plain_errors():
            raise expected from None


def _first_expected(error: BaseException) -> BaseException | None:
    """The first error in the groups that `plain_errors` makes, or takes for, a FatalError."""
    if isinstance(error, BaseExceptionGroup):
        found = (_first_expected(inner) for inner in error.exceptions)
        return next((inner for inner in found if inner is not None), None)
    try:
        with plain_errors():
            raise error
    except FatalError:
        return error
    except BaseException:
        return None
