"""The codec of a schema class: one decode and one encode function for each struct version met.

The functions are compiled at first use, so that conditions on versions cost nothing at run time.

Format of the envelopes: ceph/ceph, src/include/encoding.h (ENCODE_START), Pacific.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from mdsdaemon import records
from mdsdaemon.encoding import envelopes
from mdsdaemon.encoding.codec import (
    Check,
    Codec,
    Decoder,
    Encoder,
    Gen,
    slots_of,
    struct_of,
    usual_decode,
    usual_encode,
)
from mdsdaemon.encoding.envelopes import HEAD, LEN
from mdsdaemon.encoding.fields import FieldSpec, Renamed, runs, written
from mdsdaemon.encoding.shared import known_values

C = TypeVar("C")

METADATA = "mdsdaemon.wire"
"""Under this key a field's metadata holds its FieldSpec."""

_USUAL_HEAD = "HI"
"""`HEAD` with version and compat version in one number."""
_INLINE_FIELDS = 16
"""A struct of more fields is written by a function of its own, wherever it is."""

EnvelopeKind = Literal["start", "version", "header", "bare"]

ByValue = Callable[[Any, int, int], tuple[int, int]]
"""Changes the (struct_v, struct_compat) that a peer's features give, by the value to be written."""


class WireCodec(Codec[C]):
    """The codec of a ``@wire`` class."""

    def __init__(
        self,
        cls: type[C],
        *,
        envelope: EnvelopeKind,
        versions: tuple[tuple[int, int, int], ...],
        legacy: tuple[int, int] | None,
        keep_tail: bool,
        sortable: bool,
        by_value: ByValue | None = None,
        newest: int = 0,
        shared: bool = False,
    ) -> None:
        self.cls = cls
        self.shared = shared
        self.envelope = envelope
        self.versions = versions
        self.newest = max([newest, *(v for _, v, _ in versions)])
        self.legacy = legacy
        self.keep_tail = keep_tail
        self.by_value = by_value
        self.sortable = sortable
        self.specs: dict[str, FieldSpec] = {
            a.name: a.metadata[METADATA] for a in records.fields(cls) if METADATA in a.metadata
        }
        self._positional = [a.name for a in records.fields(cls) if a.init and not a.kw_only]
        if envelope == "bare" and all(s.plain_run for s in self.specs.values()) and self.specs:
            self.fixed = "".join(s.codec.fixed or "" for s in self.specs.values())
        always = (
            s.codec.min_size
            for s in self.specs.values()
            if s.since == 0
            and s.until > 255
            and not (any(s.condition) or s.if_more or s.counted_by)
        )
        head = {"start": 6, "version": 1, "header": 0, "bare": 0}[envelope]
        self.min_size = (1 if legacy else head) + (0 if envelope == "start" else sum(always))
        self._decode_bodies: dict[int, Decoder] = {}
        self._encode_bodies: dict[int, Encoder] = {}

    # -- versions ---------------------------------------------------------------------------

    def pick(self, features: int) -> tuple[int, int]:
        """The (struct_v, struct_compat) written for a peer with ``features``."""
        for mask, v, compat in self.versions:
            if features & mask == mask:
                return v, compat
        return 0, 0

    # -- fixed structs, merged into their owner's run ---------------------------------------

    def load(self, g: Gen, names: list[str]) -> str:
        if not self.shared:
            return self._load(g, names)
        known = self.__dict__.get("_known")
        if known is None:
            known = self.__dict__["_known"] = known_values(self, self._load)
        return f"{g.const(known, 'known')}[{', '.join(names)}]"

    def _load(self, g: Gen, names: list[str]) -> str:
        args: dict[str, str] = {}
        for name, spec in self.specs.items():
            n = slots_of(spec.codec.fixed or "")
            args[name] = spec.codec.load(g, names[:n])
            names = names[n:]
        return self._construct(g, args)

    @property
    def fixed_out(self) -> str | None:
        body = self._fixed_body()
        return body if body is None or self.envelope == "bare" else "BBI" + body

    def _fixed_body(self) -> str | None:
        """The format of all fields as they are written, if they always take the same bytes."""
        if self.envelope == "bare":
            return self.fixed
        one_version = len(self.versions) == 1 and not self.versions[0][0]
        if self.envelope != "start" or not one_version or self.keep_tail or self.by_value:
            return None
        specs = [s for s in self.specs.values() if s.in_version(self.versions[0][1])]
        if not all(s.in_run_out and not any(s.condition) and not s.length_of for s in specs):
            return None
        return "".join(s.codec.fixed_out or "" for s in specs)

    def dump(self, g: Gen, expr: str) -> list[str]:
        value = g.local(expr)
        parts: list[str] = []
        specs = self.specs
        if self.envelope != "bare":
            _, v, compat = self.versions[0]
            parts = [str(v), str(compat), str(struct_of(self._fixed_body() or "").size)]
            specs = {n: s for n, s in specs.items() if s.in_version(v)}
        return parts + [x for n, s in specs.items() for x in s.codec.dump(g, f"{value}.{n}")]

    def _construct(self, g: Gen, args: dict[str, str]) -> str:
        """The call of the class: positional as long as no field is left out."""
        parts = []
        ordered = True
        for name in self._positional:
            if name not in args:
                ordered = False
            elif ordered:
                parts.append(args[name])
            else:
                parts.append(f"{name}={args[name]}")
        parts += [f"{n}={x}" for n, x in args.items() if n not in self._positional]
        return f"{g.const(self.cls, self.cls.__name__)}({', '.join(parts)})"

    # -- decoding ---------------------------------------------------------------------------

    def gen_decode(self, g: Gen, target: str) -> None:
        if self.usual is not None:
            usual_decode(g, [(self, target)])
        else:
            self.gen_decode_unusual(g, target)

    def gen_decode_unusual(self, g: Gen, target: str) -> None:
        inline = self.envelope == "bare" and len(self.specs) <= _INLINE_FIELDS
        if inline and self not in g.within:
            g.line(f"{target} = {self._gen_decode_fields(g, 0, g.temp() + '_')}")
        else:
            g.line(f"{target}, o = {g.const(self.decoder(), 'decode')}(b, o, e, f)")

    @property
    def usual(self) -> str | None:
        if self.fixed is not None or self.envelope not in ("start", "bare"):
            return self.fixed
        if "_usual" not in self.__dict__:
            head = _USUAL_HEAD if self.envelope == "start" else ""
            specs = [s for s in self.specs.values() if s.in_version(self.pick(0)[0])]
            alike = (self._one_version or not head) and all(
                s.in_usual_run and not (any(s.condition) or s.length_of) for s in specs
            )
            body = "".join(s.codec.usual or "" for s in specs)
            self.__dict__["_usual"] = head + body if alike and specs else None
        return self.__dict__["_usual"]  # type: ignore[no-any-return]

    @property
    def usual_out(self) -> str | None:
        if self.fixed_out is not None or not self._may_inline:
            return self.fixed_out
        if "_usual_out" not in self.__dict__:
            head = {"start": "BBI", "bare": ""}.get(self.envelope)
            specs = [s for s in self.specs.values() if s.in_version(self.pick(0)[0])]
            alike = all(s.in_usual_run_out and not (any(s.condition) or s.length_of) for s in specs)
            body = "".join(s.codec.usual_out or "" for s in specs)
            usual = alike and specs and head is not None
            self.__dict__["_usual_out"] = f"{head}{body}" if usual else None
        return self.__dict__["_usual_out"]  # type: ignore[no-any-return]

    def dump_usual(self, g: Gen, expr: str, unusual: list[str]) -> list[str]:
        if self.fixed_out is not None:
            return self.dump(g, expr)
        value = g.local(expr)
        v, compat = self.pick(0)
        parts: list[str] = []
        if self.envelope == "start":
            size = struct_of(self.usual_out or "").size - HEAD.size
            parts = [str(v), str(compat), str(size)]
        for name, spec in self.specs.items():
            if spec.in_version(v):
                parts += spec.codec.dump_usual(g, f"{value}.{name}", unusual)
        return parts

    def load_usual(self, g: Gen, names: list[str], checks: list[Check]) -> str:
        if self.fixed is not None:
            return self.load(g, names)
        v, compat = self.pick(0)
        if self.envelope == "start":
            size = struct_of(self.usual or "").size - HEAD.size
            checks += [(names[0], str(v | compat << 8)), (names[1], str(size))]
            names = names[2:]
        args: dict[str, str] = {}
        for name, spec in self.specs.items():
            if spec.in_version(v):
                n = slots_of(spec.codec.usual or "")
                args[name] = spec.codec.load_usual(g, names[:n], checks)
                names = names[n:]
        return self._construct(g, args)

    def decoder(self) -> Decoder:
        cached = self.__dict__.get("_decoder")
        if cached is None:
            cached = self.__dict__["_decoder"] = self._make_decoder()
        return cached

    def decode_body(self, version: int) -> Decoder:
        """The function that reads the fields of struct version ``version``, without envelope."""
        version = min(version, self.newest)
        body = self._decode_bodies.get(version)
        if body is None:
            body = self._decode_bodies[version] = self._make_decode_body(version)
        return body

    def _make_decode_body(self, version: int) -> Decoder:
        g = Gen(self.cls.__name__)
        g.line(f"return {self._gen_decode_fields(g, version, 'v_')}, o")
        return g.build("b, o, e, f", f"decode_v{version}")  # type: ignore[no-any-return]

    def _gen_decode_fields(self, g: Gen, version: int, prefix: str) -> str:
        """Emit the reading of the fields into locals; the expression of the value made of them."""
        outer = g.type_name, g.field_name
        g.type_name = self.cls.__name__
        g.within.append(self)
        specs = {n: s for n, s in self.specs.items() if s.in_version(version)}
        for names in runs(specs, lambda spec: spec.in_usual_run):
            spec = specs[names[0]]
            g.field_name = names[0]
            condition = self._condition(spec, prefix, specs)
            if spec.if_more:
                condition = " and ".join(filter(None, [condition, "o < e"]))
            if condition:
                g.line(f"if {condition}:")
                g.indent()
            if spec.in_usual_run:
                usual_decode(g, [(specs[name].codec, prefix + name) for name in names])
            elif spec.counted_by:
                spec.codec.gen_decode_counted(g, prefix + spec.counted_by, prefix + names[0])
            else:
                spec.codec.gen_decode(g, prefix + names[0])
            if condition:
                g.dedent()
                g.line("else:")
                for name in names:
                    g.line(f"    {prefix}{name} = {self._default(g, name)}")
        g.within.pop()
        g.type_name, g.field_name = outer
        return self._construct(g, {name: prefix + name for name in specs})

    def _condition(self, spec: FieldSpec, prefix: str, specs: dict[str, FieldSpec]) -> str:
        parts = []
        if spec.when:
            parts.append(f"f & {spec.when} == {spec.when}")
        if spec.unless:
            parts.append(f"f & {spec.unless} != {spec.unless}")
        if spec.only_if:
            tree = ast.parse(spec.only_if, mode="eval")
            parts.append(f"({ast.unparse(Renamed(prefix, set(specs)).visit(tree))})")
        return " and ".join(parts)

    def _default(self, g: Gen, name: str) -> str:
        attribute = next(each for each in records.fields(self.cls) if each.name == name)
        if attribute.factory is not None:
            return f"{g.const(attribute.factory, 'factory')}()"
        value = attribute.default
        if value is records.NOTHING:
            raise TypeError(f"{self.cls.__name__}.{name} is conditional and has no default")
        return g.const(value, "default") if value is not None else "None"

    def _make_decoder(self) -> Decoder:
        if self.envelope == "bare":
            return self.decode_body(0)
        if self.envelope == "header":
            return self.decode_body(self.newest)
        if self.envelope == "version":
            return envelopes.version_decoder(self.cls.__name__, self.decode_body)
        if self.legacy is not None:
            return envelopes.legacy_decoder(
                self.cls.__name__, self.newest, self.decode_body, self.keep_tail, *self.legacy
            )
        return envelopes.start_decoder(
            self.cls.__name__, self.newest, self._decode_bodies, self.decode_body, self.keep_tail
        )

    # -- encoding ---------------------------------------------------------------------------

    def gen_encode(self, g: Gen, expr: str) -> None:
        if self.fixed_out is not None:
            g.put(self.fixed_out, self.dump(g, expr))
        elif self._may_inline and self not in g.within:
            self._gen_struct(g, g.local(expr), *self.pick(0))
        else:
            g.flush()
            g.line(f"{g.const(self.encoder(), 'encode')}(out, {expr}, f)")

    @property
    def _one_version(self) -> bool:
        """Whether every value is written alike, for whatever peer."""
        return len(self.versions) == 1 and not self.versions[0][0] and self.by_value is None

    @property
    def _may_inline(self) -> bool:
        """Whether its fields are written by the function of whatever it is a part of."""
        short = len(self.specs) <= _INLINE_FIELDS
        return short and not self.keep_tail and (self.envelope == "bare" or self._one_version)

    def encoder(self) -> Encoder:
        cached = self.__dict__.get("_encoder")
        if cached is None:
            cached = self.__dict__["_encoder"] = self._make_encoder()
        return cached

    def encode_body(self, version: int) -> Encoder:
        """The function that writes the fields of struct version ``version``, without envelope."""
        body = self._encode_bodies.get(version)
        if body is None:
            g = Gen(self.cls.__name__)
            g.line("pass")
            self._gen_fields(g, "x", version)
            body = self._encode_bodies[version] = g.build("out, x, f", f"encode_v{version}")
        return body

    def _gen_fields(self, g: Gen, value: str, version: int) -> None:
        """Emit the writing of the fields of the local ``value``."""
        outer = g.type_name, g.field_name
        g.type_name = self.cls.__name__
        g.within.append(self)
        specs = {n: s for n, s in self.specs.items() if s.in_version(version)}
        for names in runs(specs, lambda spec: spec.in_usual_run_out):
            g.field_name = names[0]
            condition = self._condition(specs[names[0]], f"{value}.", specs)
            if condition:
                g.flush()
                g.line(f"if {condition}:")
                g.indent()
            if specs[names[0]].counted_by:
                specs[names[0]].codec.gen_encode_bare(g, written(names[0], specs, value))
            else:
                usual_encode(g, [(specs[n].codec, written(n, specs, value)) for n in names])
            if condition:
                g.dedent()
        g.within.pop()
        g.type_name, g.field_name = outer

    def _gen_struct(self, g: Gen, value: str, version: int, compat: int) -> None:
        """Emit the writing of the local ``value`` as this version, with its envelope."""
        if self.envelope == "start":
            g.put("BB", [str(version), str(compat)])
            at = g.put_length()
            self._gen_fields(g, value, version)
            g.set_length(at)
            return
        if self.envelope == "version":
            g.put("B", [str(version)])
        self._gen_fields(g, value, 0 if self.envelope == "bare" else version)

    def _make_encoder(self) -> Encoder:
        if self.envelope == "bare":
            return self.encode_body(0)
        if self.envelope == "header":
            return self._by_features(lambda version, _: self.encode_body(version))
        if self.by_value is not None:
            return self._any_version
        return self._by_features(self._struct_encoder)

    def _by_features(self, make: Callable[[int, int], Encoder]) -> Encoder:
        """The function that writes what the peer's features choose."""
        if self._one_version:
            return make(*self.pick(0))
        made: dict[tuple[int, int], Encoder] = {}
        pick = self.pick

        def encode(out: bytearray, x: Any, f: int) -> None:
            version = pick(f)
            encoder = made.get(version)
            if encoder is None:
                encoder = made[version] = make(*version)
            encoder(out, x, f)

        return encode

    def _struct_encoder(self, version: int, compat: int) -> Encoder:
        g = Gen(self.cls.__name__)
        if self.keep_tail:
            g.line("if x.wire_tail:")
            g.line(f"    return {g.const(self._any_version, 'any_version')}(out, x, f)")
        self._gen_struct(g, "x", version, compat)
        return g.build("out, x, f", f"encode_v{version}")  # type: ignore[no-any-return]

    def _any_version(self, out: bytearray, x: Any, f: int) -> None:
        """Write a value whose version depends on it."""
        v, compat = self.pick(f)
        if self.by_value is not None:
            v, compat = self.by_value(x, v, compat)
        body, tail = self.encode_body(v), b""
        if self.keep_tail and x.wire_tail:
            # a newer release wrote this: what it added goes back as it came
            tail = x.wire_tail
            v, compat = x.wire_version
            body = self.encode_body(min(v, self.newest))
        if self.envelope == "version":
            out.append(v)
            body(out, x, f)
            return
        at = len(out)
        out += HEAD.pack(v, compat, 0)
        body(out, x, f)
        out += tail
        LEN.pack_into(out, at + 2, len(out) - at - 6)

    # -- plain values -----------------------------------------------------------------------

    def to_plain(self, value: C) -> Any:
        plain = {n: s.codec.to_plain(getattr(value, n)) for n, s in self.specs.items()}
        if self.keep_tail and value.wire_tail:  # type: ignore[attr-defined]
            plain["wire_tail"] = value.wire_tail  # type: ignore[attr-defined]
            plain["wire_version"] = list(value.wire_version)  # type: ignore[attr-defined]
        return plain

    def from_plain(self, plain: Any) -> C:
        known = {n: s.codec.from_plain(plain[n]) for n, s in self.specs.items() if n in plain}
        if self.keep_tail and "wire_tail" in plain:
            known["wire_tail"] = plain["wire_tail"]
            known["wire_version"] = tuple(plain["wire_version"])
        return self.cls(**known)
