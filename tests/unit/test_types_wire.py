"""What holds for every wire class: what is written is read again, and nothing else is believed."""

import random
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.wire_strategies import values_of, wire_classes

from mdsdaemon.encoding import (
    ALL_FEATURES,
    Codec,
    Custom,
    DecodeError,
    Rest,
    WireCodec,
    as_codec,
    decode,
    encode,
)
from mdsdaemon.types.features import FEATURES_PACIFIC

NO_PLAIN_FORM = {"MOSDOp", "MOSDOpReply"}
"""Messages whose operations are not kept as CBOR."""

CLASSES = wire_classes()
IDS = [f"{cls.__module__.removeprefix('mdsdaemon.')}.{cls.__qualname__}" for cls in CLASSES]
every_class = pytest.mark.parametrize("cls", CLASSES, ids=IDS)
few = settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])


def version_of(codec: Codec[Any]) -> int | None:
    """The version that must be named from outside, for classes whose envelope does not hold it."""
    header = isinstance(codec, WireCodec) and codec.envelope == "header"
    return codec.newest if header else None  # type: ignore[attr-defined]


def open_ended(codec: Codec[Any]) -> bool:
    """Whether fewer bytes may be a value too."""
    if not isinstance(codec, WireCodec):
        return isinstance(codec, Custom) or codec is Rest
    if codec.envelope == "start":
        return False
    return any(
        spec.if_more or spec.only_if or open_ended(spec.codec) for spec in codec.specs.values()
    )


def parts(codec: Codec[Any]) -> list[Codec[Any]]:
    """The codecs that a codec is made of."""
    inner = [getattr(codec, name, None) for name in ("item", "key", "value")]
    return [c for c in inner if isinstance(c, Codec)] + list(getattr(codec, "parts", ()))


def unconditional(codec: Codec[Any]) -> bool:
    """Whether every field of the newest version that is written is always written."""
    if isinstance(codec, Custom):
        return False
    if not isinstance(codec, WireCodec):
        return all(map(unconditional, parts(codec)))
    written = codec.pick(ALL_FEATURES)[0]
    return all(
        not (spec.only_if or spec.unless) and spec.in_version(written) and unconditional(spec.codec)
        for spec in codec.specs.values()
    )


@every_class
@few
@given(data=st.data())
def test_round_trip(cls: type[Any], data: st.DataObject) -> None:
    codec = as_codec(cls)
    value = data.draw(values_of(cls))
    version = version_of(codec)
    for features in (ALL_FEATURES, FEATURES_PACIFIC):
        raw = encode(codec, value, features, version=version)
        again = decode(codec, raw, features, version=version)
        assert encode(codec, again, features, version=version) == raw
        if cls.__name__ not in NO_PLAIN_FORM:
            plain = cbor2.loads(cbor2.dumps(codec.to_plain(again)))
            assert codec.from_plain(plain) == again
    # with all features nothing is left out but by conditions of the fields themselves
    if unconditional(codec):
        assert decode(codec, encode(codec, value, version=version), version=version) == value


@every_class
@few
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_cut_or_changed_bytes(cls: type[Any], data: st.DataObject, seed: int) -> None:
    codec = as_codec(cls)
    version = version_of(codec)
    raw = encode(codec, data.draw(values_of(cls)), version=version)
    rng = random.Random(seed)
    for cut in rng.sample(range(len(raw)), min(len(raw), 12)):
        try:
            decode(codec, raw[:cut], version=version)
        except DecodeError:
            continue
        assert open_ended(codec)
    for _ in range(12 if raw else 0):
        changed = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(raw))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        try:
            value = decode(codec, bytes(changed), version=version)
        except DecodeError:
            continue
        # what was believed can be shown and kept
        repr(value)
        codec.to_plain(value)


@every_class
@few
@given(raw=st.binary(max_size=64), version=st.integers(0, 255))
def test_any_bytes(cls: type[Any], raw: bytes, version: int) -> None:
    codec = as_codec(cls)
    named = version if version_of(codec) is not None else None
    try:
        decode(codec, raw, version=named, partial=True)
    except DecodeError:
        pass
