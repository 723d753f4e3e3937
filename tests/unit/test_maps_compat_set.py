"""CompatSet: who may read and write what."""

import pytest

from mdsdaemon.maps.compat_set import (
    CompatSet,
    get_compat_set_all,
    get_compat_set_base,
    get_compat_set_default,
    get_compat_set_v16_2_4,
)


def a_set(*, ro: dict[int, str] | None = None, incompat: dict[int, str] | None = None) -> CompatSet:
    made = CompatSet()
    for number, name in (ro or {}).items():
        made.ro_compat.insert(number, name)
    for number, name in (incompat or {}).items():
        made.incompat.insert(number, name)
    return made


def test_the_sets_of_a_metadata_server() -> None:
    everything = get_compat_set_all()
    assert everything.incompat.mask == 0b11111111110
    assert get_compat_set_default().incompat.mask == 0b11101111110
    assert get_compat_set_base().incompat.names == {1: "base v0.20"}
    assert get_compat_set_v16_2_4() == everything
    for other in (get_compat_set_default(), get_compat_set_base(), CompatSet(), everything):
        assert everything.writeable(other)
    assert not get_compat_set_base().readable(everything)


def test_what_a_newer_file_system_needs_is_named() -> None:
    squid = get_compat_set_all()
    squid.incompat.insert(11, "minor log segments")
    ours = get_compat_set_all()
    assert not ours.writeable(squid)
    assert ours.unsupported(squid).incompat.dump() == {"feature_11": "minor log segments"}
    assert str(ours.unsupported(squid)) == "compat={},rocompat={},incompat={11=minor log segments}"


def test_read_only_features() -> None:
    ours, other = a_set(), a_set(ro={3: "three"})
    assert ours.readable(other)
    assert not ours.writeable(other)


def test_compare() -> None:
    small, large = a_set(incompat={1: "one"}), a_set(incompat={1: "one", 2: "two"})
    assert small.compare(a_set(incompat={1: "uno"})) == 0
    assert large.compare(small) == 1
    assert small.compare(large) == -1
    assert small.merge(large)
    assert small == large
    assert not small.merge(large)


def test_ids_out_of_range_are_refused() -> None:
    for number in (0, 64):
        with pytest.raises(ValueError, match="1 to 63"):
            a_set(incompat={number: "x"})
