"""CRC-32C: the package's function, without the package around it."""

import subprocess
import sys

import crc32c as package
import pytest

from mdsdaemon.checksum import _load, crc32c


@pytest.mark.parametrize("data", [b"", b"123456789", bytes(range(256)) * 300])
@pytest.mark.parametrize("seed", [0, 1, 0xFFFFFFFF])
def test_it_is_that_of_the_package(data: bytes, seed: int) -> None:
    assert crc32c(data, seed) == package.crc32c(data, seed)


def test_it_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283


def test_without_its_module_the_package_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdsdaemon.checksum.PathFinder.find_spec", lambda *_: None)
    assert _load() is package.crc32c


def test_no_metadata_are_read() -> None:
    program = """
import sys
import mdsdaemon.msgr2.frames
wrong = {"importlib.metadata", "email", "argparse", "zipfile"} & set(sys.modules)
assert not wrong, wrong
"""
    subprocess.run([sys.executable, "-c", program], check=True)
