"""Which addresses are bound, for which options."""

from __future__ import annotations

import pytest

from mdsdaemon.config import Config
from mdsdaemon.daemon.addresses import local_addresses, pick_addresses
from mdsdaemon.errors import ExitStatus, FatalError

HERE = [
    ("lo", "127.0.0.1"),
    ("eth0", "192.0.2.2"),
    ("eth1", "198.51.100.7"),
    ("lo", "::1"),
    ("eth0", "fe80::1"),
    ("eth0", "2001:db8::2"),
]
V6 = {"ms_bind_ipv6": "true"}
ONLY_V6 = {**V6, "ms_bind_ipv4": "false"}


def picked(**options: str) -> list[str]:
    return [str(a) for a in pick_addresses(Config("mds.a", options), HERE)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["v2:0.0.0.0:0/0"]),
        (V6, ["v2:[::]:0/0", "v2:0.0.0.0:0/0"]),
        ({**V6, "ms_bind_prefer_ipv4": "true"}, ["v2:0.0.0.0:0/0", "v2:[::]:0/0"]),
        (ONLY_V6, ["v2:[::]:0/0"]),
        ({"public_addr": "192.0.2.2"}, ["v2:192.0.2.2:0/0"]),
        ({"public_addr": "v1:192.0.2.2:6800/5"}, ["v2:192.0.2.2:6800/0"]),
        ({"public_addr": "2001:db8::2"}, ["v2:[2001:db8::2]:0/0"]),
        ({"public_addr": "0.0.0.0"}, ["v2:0.0.0.0:0/0"]),
        ({"public_network": "198.51.100.0/24"}, ["v2:198.51.100.7:0/0"]),
        ({"public_network": "10.0.0.0/8, 192.0.2.0/24"}, ["v2:192.0.2.2:0/0"]),
        ({"public_network": "0.0.0.0/0"}, ["v2:192.0.2.2:0/0"]),
        ({"public_network": "127.0.0.0/8"}, ["v2:127.0.0.1:0/0"]),
        (
            {"public_network": "0.0.0.0/0", "public_network_interface": "eth1"},
            ["v2:198.51.100.7:0/0"],
        ),
        ({"public_network": "2001:db8::/32", **ONLY_V6}, ["v2:[2001:db8::2]:0/0"]),
        (
            {"public_network": "192.0.2.0/24 2001:db8::/32", **V6},
            ["v2:[2001:db8::2]:0/0", "v2:192.0.2.2:0/0"],
        ),
        ({"public_network": "192.0.2.0/24", "public_addr": "127.0.0.1"}, ["v2:127.0.0.1:0/0"]),
    ],
)
def test_picked(options: dict[str, str], expected: list[str]) -> None:
    assert picked(**options) == expected


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"ms_bind_ipv4": "false"}, "neither ms_bind_ipv4 nor ms_bind_ipv6"),
        ({"public_network": "203.0.113.0/24"}, "unable to find any IPv4 address in networks"),
        ({"public_network": "2001:db8::/32"}, "unable to find any IPv4 address"),
        ({"public_network": "nonsense"}, "unable to parse network 'nonsense'"),
        ({"public_network_interface": "eth0"}, "without public_network"),
        ({"public_network": "fe80::/16", **ONLY_V6}, "unable to find any IPv6 address"),
    ],
)
def test_nothing_fits(options: dict[str, str], why: str) -> None:
    with pytest.raises(FatalError, match=why) as caught:
        picked(**options)
    assert caught.value.status is ExitStatus.ADDRESS
    assert caught.value.remedy


def test_this_machine_has_addresses() -> None:
    found = local_addresses()
    assert ("lo", "127.0.0.1") in found
