"""Directory fragments: which part of a directory's hash space, and how it was split.

Format: ceph/ceph, src/include/frag.h, src/mds/mdstypes.h (Pacific).
"""

from typing import Self

from mdsdaemon.encoding import S32, U32, U64, List, Map, Seldom, field, wire, wire_codec

_VALUE_BITS = 24
_VALUE_MASK = (1 << _VALUE_BITS) - 1


@wire(ceph="frag_t", frozen=True, shared=True)
class Frag:
    """frag_t: the hash values whose upper ``bits`` of 24 are those of ``value``; 0*0 is all."""

    enc: int = field(U32, default=0)

    @classmethod
    def of(cls, value: int, bits: int) -> Self:
        """The fragment of the upper ``bits`` of the 24-bit ``value``."""
        return cls(bits << _VALUE_BITS | value & cls.mask_of(bits))

    @staticmethod
    def mask_of(bits: int) -> int:
        """The 24-bit mask of that many upper bits."""
        return (_VALUE_MASK << (_VALUE_BITS - bits)) & _VALUE_MASK

    @property
    def value(self) -> int:
        """The 24-bit value."""
        return self.enc & _VALUE_MASK

    @property
    def bits(self) -> int:
        """How many upper bits count."""
        return self.enc >> _VALUE_BITS

    @property
    def is_possible(self) -> bool:
        """Whether there is such a fragment: the bytes may have been anything."""
        return self.bits <= _VALUE_BITS and not self.value & ~self.mask_of(self.bits)

    def contains(self, value: int) -> bool:
        """Whether the fragment holds a hash value."""
        return value & self.mask_of(self.bits) == self.value

    def __hash__(self) -> int:
        return self.enc

    def __lt__(self, other: "Frag") -> bool:
        return (self.value, self.bits) < (other.value, other.bits)

    def __str__(self) -> str:
        if not self.is_possible:
            return f"{self.enc:#x}"
        if not self.bits:
            return "*"
        return format(self.value >> (_VALUE_BITS - self.bits), f"0{self.bits}b") + "*"


# ordered by value before bits, which is not the order of the encoded number
wire_codec(Frag).sortable = True


@wire(ceph="fragtree_t")
class FragTree:
    """fragtree_t: for each fragment that was split, into how many bits' worth of pieces."""

    splits: dict[Frag, int] = field(Seldom(Map(Frag, S32)), factory=dict)


@wire(ceph="dirfrag_t", frozen=True, shared=True)
class DirFrag:
    """dirfrag_t: a fragment of a directory, ``ino.frag``."""

    ino: int = field(U64, default=0)
    frag: Frag = field(Frag, factory=Frag)

    def __hash__(self) -> int:
        return self.ino ^ self.frag.enc

    def __lt__(self, other: "DirFrag") -> bool:
        if self.ino != other.ino:
            return self.ino < other.ino
        return self.frag < other.frag

    def __str__(self) -> str:
        return f"0x{self.ino:x}" if not self.frag.enc else f"0x{self.ino:x}.{self.frag}"


wire_codec(DirFrag).sortable = True


@wire()
class FragVec:
    """frag_vec_t: some fragments of one directory."""

    frags: list[Frag] = field(List(Frag), factory=list)
