"""Values of any wire class, made from its schema.

A value is made from one number (a seed), not from hypothesis' own draws: the larger maps have
thousands of fields. A failure therefore shows its seed and value, and does not shrink.
"""

import importlib
import inspect
import ipaddress
import pkgutil
import struct
import uuid
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st

import mdsdaemon
from mdsdaemon.cephx import crypto
from mdsdaemon.encoding import (
    Array,
    Codec,
    Framed,
    List,
    Map,
    Opt,
    Raw,
    Seldom,
    Set,
    Tuple,
    Union,
    Unread,
    WireCodec,
    as_codec,
    encode,
)
from mdsdaemon.encoding import primitives as p
from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.maps import crush_map, mds_map
from mdsdaemon.messages import mgr, osd
from mdsdaemon.types import client_metrics, entity, layout, osd_op, perf_metrics, pool, snap
from mdsdaemon.types.features import FEATURES_PACIFIC

PACKAGES = ("types", "maps", "cephx", "messages")


def wire_classes() -> list[type[Any]]:
    """Every wire class of the types, maps, keys and messages."""
    found = {}
    for package in PACKAGES:
        for info in pkgutil.iter_modules([f"{mdsdaemon.__path__[0]}/{package}"]):
            module = importlib.import_module(f"mdsdaemon.{package}.{info.name}")
            for cls in vars(module).values():
                if inspect.isclass(cls) and "__wire__" in vars(cls):
                    found[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return [found[name] for name in sorted(found)]


class NoStrategy(Exception):
    """A class has a field of a hand-written codec that this file does not know."""


class Maker:
    """Makes values from one source of randomness; deeper ones are smaller."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.depth = 0

    # -- single values -------------------------------------------------------------------------

    def integer(self, fmt: str) -> int:
        bits = 8 * struct_of(fmt).size
        low, high = (0, (1 << bits) - 1)
        if fmt.islower():
            low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        edge = self.rng.choice((low, high, 0, 1, max(low, -1)))
        return self.rng.choice((edge, self.rng.randint(0, 9), self.rng.randint(low, high)))

    def u32(self) -> int:
        return self.integer("I")

    def u64(self) -> int:
        return self.integer("Q")

    def s32(self) -> int:
        return self.integer("i")

    def blob(self) -> bytes:
        return self.rng.randbytes(self.rng.choice((0, 0, 1, 3, 9)))

    def text(self) -> str:
        # bytes that are no UTF-8 live in strings as surrogate escapes
        odd = self.rng.randbytes(3).decode("utf-8", "surrogateescape")
        return self.rng.choice(("", "a", "osd.0", "größer", "\U0001f40b", odd))

    def floating(self, single: bool) -> float:
        value = self.rng.choice((0.0, -1.5, float("inf"), self.rng.uniform(-1e9, 1e9)))
        return struct.unpack("<f", struct.pack("<f", value))[0] if single else value

    def size(self) -> int:
        """How many items a container gets."""
        return self.rng.choice((0, 1, 2) if self.depth < 4 else (0, 0, 1))

    def many(self, make: Callable[[], Any]) -> list[Any]:
        return [make() for _ in range(self.size())]

    # -- by codec ------------------------------------------------------------------------------

    def value(self, codec: Codec[Any]) -> Any:
        """A value that the codec writes.

        Raises:
            NoStrategy: part of it is a hand-written codec that ``CUSTOM`` has not.
        """
        self.depth += 1
        try:
            return self._value(codec)
        finally:
            self.depth -= 1

    def _value(self, codec: Codec[Any]) -> Any:
        custom = CUSTOM.get(id(codec))
        if custom is not None:
            return custom(self)
        if isinstance(codec, WireCodec):
            return self._struct(codec)
        if isinstance(codec, Array):
            return [self.value(codec.item) for _ in range(codec.count)]
        if isinstance(codec, List):
            return self.many(lambda: self.value(codec.item))
        if isinstance(codec, Set):
            return set(self.many(lambda: self.value(codec.item)))
        if isinstance(codec, Map):
            keys = self.many(lambda: self.value(codec.key))
            return {key: self.value(codec.value) for key in keys}
        if isinstance(codec, Opt):
            return self.value(codec.item) if self.rng.random() < 0.5 else None
        if isinstance(codec, Tuple):
            return tuple(self.value(part) for part in codec.parts)
        if isinstance(codec, Framed | Seldom):
            return self.value(codec.item)
        if isinstance(codec, Unread):
            return encode(codec.codec, self.value(codec.codec), FEATURES_PACIFIC)
        if isinstance(codec, Union):
            return self.value(as_codec(self.rng.choice(list(codec.cases.values()))))
        return self._scalar(codec)

    def _scalar(self, codec: Codec[Any]) -> Any:
        if codec is p.Str:
            return self.text()
        if codec in (p.Blob, p.Rest):
            return self.blob()
        if codec is p.Bool:
            return self.rng.random() < 0.5
        if codec is p.Uuid:
            return uuid.UUID(bytes=self.rng.randbytes(16))
        if codec in (p.F32, p.F64):
            return self.floating(codec is p.F32)
        if codec in (p.Time, p.Duration):
            return self.u32() * p.NSEC + self.rng.choice((0, self.rng.randrange(p.NSEC)))
        if isinstance(codec, Raw):
            return self.rng.randbytes(codec.min_size)
        if isinstance(codec, p.Scalar):
            return self.integer(codec.fixed or "")
        raise NoStrategy(f"{codec!r}: say in CUSTOM how to make its values")

    def _struct(self, codec: WireCodec[Any]) -> Any:
        parts = {}
        for name, spec in codec.specs.items():
            make = FIELDS.get((codec.cls.__name__, name))
            parts[name] = make(self) if make is not None else self.value(spec.codec)
        return codec.cls(**parts)


# -- formats that no schema describes ------------------------------------------------------------


def _addr(m: Maker) -> entity.EntityAddr:
    version = m.rng.choice((0, 4, 6))
    kind, nonce = m.rng.randint(1, 4), m.u32()
    if not version:
        return entity.EntityAddr(kind, nonce)
    host = str(ipaddress.ip_address(m.rng.randbytes(4 if version == 4 else 16)))
    return entity.EntityAddr(kind, nonce, host, m.integer("H"))


def _layout(m: Maker) -> layout.FileLayout:
    return layout.FileLayout(m.rng.randint(1, 99) << 16, m.u32(), m.u32(), m.s32(), m.text())


def _legacy_layout(m: Maker) -> layout.FileLayout:
    return layout.FileLayout(m.rng.randint(1, 99) << 16, m.u32(), m.u32(), m.rng.randint(0, 99))


def _bucket(m: Maker) -> crush_map.Bucket | None:
    if m.rng.random() < 0.3:
        return None
    alg = m.rng.choice(list(crush_map.BucketAlg))
    items = m.many(m.s32)
    weights = [m.u32() for _ in range({1: 1, 3: 3}.get(alg, len(items)))]
    extra = [m.u32() for _ in items] if alg in (2, 4) else []
    return crush_map.Bucket(m.s32(), m.integer("H"), alg, 0, m.u32(), items, weights, extra)


def _rule(m: Maker) -> crush_map.Rule | None:
    if m.rng.random() < 0.3:
        return None
    steps = m.many(lambda: (m.u32(), m.s32(), m.s32()))
    return crush_map.Rule(m.integer("B"), m.integer("B"), 1, 10, steps)


def _tree(m: Maker) -> crush_map.Tree:
    return crush_map.Tree(m.s32(), m.many(lambda: _bucket(m)), m.many(lambda: _rule(m)))


def _realm(m: Maker) -> snap.SnapRealmInfo:
    realm = snap.SnapRealmInfo(m.u64(), m.u64(), m.u64(), m.u64(), m.u64())
    realm.my_snaps, realm.prior_parent_snaps = m.many(m.u64), m.many(m.u64)
    return realm


def _option(m: Maker) -> pool.OptionValue:
    return m.rng.choice((m.text(), m.integer("q"), m.floating(False)))


def _metric(m: Maker) -> Any:
    if m.rng.random() < 0.2:
        return client_metrics.UnknownMetric(99, m.integer("B"), m.integer("B"), m.blob())
    return m.value(as_codec(m.rng.choice(list(client_metrics._KNOWN.values()))))


def _secret(m: Maker) -> bytes:
    return m.rng.choice((b"", m.rng.randbytes(16)))


def _op(m: Maker) -> osd_op.OSDOp:
    # what a request carries for its operations lies in its data, not here
    return osd_op.OSDOp(m.integer("H"), m.u32(), m.rng.randbytes(28))


def _op_results(m: Maker) -> osd.OpResults:
    return osd.OpResults(m.many(lambda: _op(m)), m.s32())


def _field_codec(cls: type[Any], name: str) -> Codec[Any]:
    codec = as_codec(cls)
    assert isinstance(codec, WireCodec)
    return codec.specs[name].codec


def _tuple_of(cls: type[Any]) -> Callable[[Maker], Any]:
    return lambda m: tuple(m.many(lambda: m.value(as_codec(cls))))


CUSTOM: dict[int, Callable[[Maker], Any]] = {
    id(as_codec(entity.EntityAddr)): _addr,
    id(as_codec(entity.EntityAddrVec)): lambda m: entity.EntityAddrVec(
        tuple(m.many(lambda: _addr(m)))
    ),
    id(as_codec(layout.FileLayout)): _layout,
    id(layout.LegacyFileLayout): _legacy_layout,
    id(layout.FixedFileLayout): _legacy_layout,
    id(as_codec(snap.SnapRealmInfo)): _realm,
    id(crush_map._Tree): _tree,
    id(crush_map._Names): lambda m: {m.s32(): m.text() or "x" for _ in range(m.size())},
    id(mds_map._XattrSizeFirst): lambda m: False,
    id(pool.OptionCodec): _option,
    id(_field_codec(crypto.CryptoKey, "secret")): _secret,
    id(mgr._NoOsdReports): lambda m: {},
    id(osd._RequestOps): lambda m: m.many(lambda: _op(m)),
    id(osd._Results): _op_results,
    id(_field_codec(client_metrics.ClientMetric, "payload")): _metric,
    id(_field_codec(perf_metrics.PerfMetricQuery, "key")): _tuple_of(perf_metrics.SubKeyDescriptor),
    id(_field_codec(perf_metrics.PerfMetricQuery, "counters")): _tuple_of(
        perf_metrics.CounterDescriptor
    ),
    id(_field_codec(perf_metrics.PerfMetrics, "counters")): _tuple_of(
        perf_metrics.CounterDescriptor
    ),
}
"""Values of hand-written codecs, by the codec's identity."""

FIELDS: dict[tuple[str, str], Callable[[Maker], Any]] = {
    ("MDSMap", "ev"): lambda m: m.rng.choice((5, 9, 16, 17, 18, 19)),
    ("CrushMap", "magic"): lambda m: crush_map.CRUSH_MAGIC,
    ("FeatureSet", "mask"): lambda m: m.u64() & ~1,
    ("MonMap", "mon_addr"): lambda m: {},
}
"""Fields whose values hang together with others'."""


def values_of(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Values of a class."""
    return st.integers(0, 2**32 - 1).map(lambda seed: Maker(seed).value(as_codec(cls)))
