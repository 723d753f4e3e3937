"""Every codec against the objects that real releases of Ceph wrote (``--corpus DIR``).

Each object decodes whole and encodes to the same bytes with that release's features; cut anywhere
it is a DecodeError; with bytes changed it is a DecodeError or a value, and nothing else.
"""

import importlib
import pkgutil
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

import mdsdaemon
from mdsdaemon.encoding import (
    REGISTRY,
    S32,
    S64,
    U64,
    Codec,
    DecodeError,
    Raw,
    Str,
    Time,
    Uuid,
    as_codec,
    decode,
    encode,
)
from mdsdaemon.types.features import FEATURES_PACIFIC, SERVER_QUINCY, SERVER_REEF

for _package in ("types", "maps", "cephx", "messages"):
    for _module in pkgutil.iter_modules([f"{mdsdaemon.__path__[0]}/{_package}"]):
        importlib.import_module(f"mdsdaemon.{_package}.{_module.name}")

RELEASES = {
    "16.2.0": FEATURES_PACIFIC,
    "18.2.0": FEATURES_PACIFIC | SERVER_QUINCY | SERVER_REEF,
}

SCALARS: dict[str, Codec[Any]] = {
    "client_t": S64,
    "errorcode32_t": S32,
    "inodeno_t": U64,
    "object_t": Str,
    "sha256_digest_t": Raw(32),
    "utime_t": Time,
    "uuid_d": Uuid,
}
"""C++ types that are plain values here."""

CODECS: dict[str, Codec[Any]] = SCALARS | {name: as_codec(cls) for name, cls in REGISTRY.items()}

_BEFORE_COMPAT = "16.2.0 wrote mds_info_t 9; 10, with the daemon's CompatSet, is of 16.2.5"

_LEGACY_LAYOUT = "a journal header's layout, which is written in the old form for everyone"

WRITTEN_OTHERWISE = {
    ("16.2.0", "MDSMap::mds_info_t"): _BEFORE_COMPAT,
    ("16.2.0", "Filesystem"): _BEFORE_COMPAT,
    ("16.2.0", "FSMap"): _BEFORE_COMPAT,
    ("16.2.0", "file_layout_t"): _LEGACY_LAYOUT,
    ("18.2.0", "file_layout_t"): _LEGACY_LAYOUT,
}
"""(release, type) of which some objects encode to other bytes, of the same value, and why."""

OPEN_ENDED = {
    "CrushWrapper": "older releases end earlier, without a version that says so",
    "InodeStoreBare": "older releases end earlier, without a version that says so",
}
"""Types that may be cut where an older release ends."""

CUTS = 120
FLIPS = 120
SEED = 20210331


def objects(corpus: Path, release: str, name: str) -> Iterator[bytes]:
    folder = corpus / release / name
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        yield path.read_bytes()


def all_objects(corpus: Path, name: str) -> list[tuple[str, int, bytes]]:
    return [
        (release, features, data)
        for release, features in RELEASES.items()
        for data in objects(corpus, release, name)
    ]


def _decodes_or_not(codec: Codec[Any], data: bytes, features: int) -> None:
    try:
        decode(codec, data, features)
    except DecodeError:
        pass


def test_every_type_of_the_corpus_has_a_codec(corpus: Path) -> None:
    names = {path.name for release in RELEASES for path in (corpus / release).iterdir()}
    assert names - set(CODECS) == set()


@pytest.mark.parametrize("name", sorted(CODECS))
def test_decodes_whole_and_encodes_to_the_same_bytes(corpus: Path, name: str) -> None:
    codec = CODECS[name]
    for release, features, data in all_objects(corpus, name):
        value = decode(codec, data, features)
        again = encode(codec, value, features)
        if again != data:
            assert (release, name) in WRITTEN_OTHERWISE, f"{again.hex()} was {data.hex()}"
            assert decode(codec, again, features) == value


@pytest.mark.parametrize("name", sorted(CODECS))
def test_survives_the_plain_form(corpus: Path, name: str) -> None:
    codec = CODECS[name]
    for _, features, data in all_objects(corpus, name):
        value = decode(codec, data, features)
        plain = cbor2.loads(cbor2.dumps(codec.to_plain(value)))
        assert codec.from_plain(plain) == value


@pytest.mark.parametrize("name", sorted(CODECS))
def test_cut_anywhere_is_a_decode_error(corpus: Path, name: str) -> None:
    codec = CODECS[name]
    rng = random.Random(f"{SEED} {name}")
    found = all_objects(corpus, name)
    for _, features, data in found:
        share = max(CUTS // len(found), 1)
        cuts = range(len(data)) if len(data) <= share else rng.sample(range(len(data)), share)
        for cut in cuts:
            if name in OPEN_ENDED:
                _decodes_or_not(codec, data[:cut], features)
                continue
            with pytest.raises(DecodeError):
                decode(codec, data[:cut], features)


@pytest.mark.parametrize("name", sorted(CODECS))
def test_changed_bytes_raise_nothing_but_decode_error(corpus: Path, name: str) -> None:
    codec = CODECS[name]
    rng = random.Random(f"{SEED} {name}")
    found = all_objects(corpus, name)
    for _, features, data in found:
        for _ in range(max(FLIPS // len(found), 1) if data else 0):
            changed = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(len(changed))
                changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            _decodes_or_not(codec, bytes(changed), features)
