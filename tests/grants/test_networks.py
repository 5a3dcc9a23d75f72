"""Networks: one way to write each, and narrower only where every address was allowed before."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.grants.networks import Network, canonical, is_narrower, is_within, parse_network

_steady = settings(derandomize=True, database=None, deadline=None, max_examples=60)

# Few enough bits that random networks often overlap.
_NETWORKS = st.one_of(
    st.tuples(st.integers(0, 15), st.integers(28, 32)).map(
        lambda drawn: ip_network(f"192.0.2.{drawn[0]}/{drawn[1]}", strict=False)
    ),
    st.tuples(st.integers(0, 15), st.integers(124, 128)).map(
        lambda drawn: ip_network(f"2001:db8::{drawn[0]:x}/{drawn[1]}", strict=False)
    ),
)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0:0::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
    ],
)
def test_a_network_or_an_address_has_one_form(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    "text",
    [
        *("", "192.0.2.0/33", "192.0.2.7/24", "192.0.2", "192.0.2.0/255.255.255.0", "192.0.2.0/0.0.0.255"),
        *("2001:db8::/129", "2001:db8::1/32", "fe80::1%eth0", "::ffff:192.0.2.0/120", "localhost", " 192.0.2.0/24"),
        *("192.0.2.0/24,192.0.3.0/24", "3221225984", "0xC0000200", "192.0.2.010", "192.0.2.0/024/1", "192.0.2.0/-1"),
        "\u0661\u0669\u0662.0.2.0",  # digits, but not ASCII's
    ],
)
def test_anything_else_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_network(text)


def _addresses(networks: tuple[Network, ...]) -> set[str]:
    return {str(address) for network in networks for address in network}


@_steady
@given(st.lists(_NETWORKS, max_size=6))
def test_the_canonical_form_has_the_same_addresses_and_does_not_change_again(networks: list[Network]) -> None:
    once = canonical(networks)
    assert _addresses(once) == _addresses(tuple(networks))
    assert canonical(once) == canonical(reversed(once)) == once


@_steady
@given(st.lists(_NETWORKS, min_size=1, max_size=4), st.lists(_NETWORKS, min_size=1, max_size=4))
def test_narrower_is_what_has_no_address_that_was_not_there(new: list[Network], former: list[Network]) -> None:
    wanted, allowed = canonical(new), canonical(former)
    assert is_narrower(wanted, than=allowed) == (_addresses(wanted) <= _addresses(allowed))
    assert is_narrower(wanted, than=None)


@_steady
@given(st.lists(_NETWORKS, min_size=1, max_size=4))
def test_an_address_is_within_if_a_network_has_it(networks: list[Network]) -> None:
    inside = _addresses(canonical(networks))
    for last in range(16):
        v4, v6 = f"192.0.2.{last}", f"2001:db8::{last:x}"
        for text, plain in ((v4, v4), (v6, v6), (f"::ffff:{v4}", v4)):
            assert is_within(ip_address(text), networks) == (str(ip_address(plain)) in inside)
    assert not is_within(None, networks)
    assert is_within(None, None)
