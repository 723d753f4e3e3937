"""What a test needs and this machine may lack: there it is skipped with a sentence.

In CI (environment CI set) that is a failure instead: what CI skips, nobody runs.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def lacking(sentence: str) -> NoReturn:
    """End the test: skipped, in CI failed."""
    if os.environ.get("CI"):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def need_programs(*names: str) -> None:
    """These are on PATH; else see `lacking`."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        lacking(f"needs {', '.join(missing)}")
