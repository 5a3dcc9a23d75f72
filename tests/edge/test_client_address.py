"""Whose request it is: only proxies of our own are believed."""

from typing import Any

import pytest
from pydantic import ValidationError

from corral.edge.client_address import client_address
from corral.settings import Settings, read_networks

OURS = read_networks("10.0.0.0/8, ::1, 192.0.2.7")


def address(peer: str | None, *headers: tuple[str, str]) -> str | None:
    scope: dict[str, Any] = {
        "client": None if peer is None else (peer, 12345),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }
    found = client_address(scope, OURS)
    return None if found is None else str(found)


FORWARDED = "X-Forwarded-For"


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("198.51.100.9", (), "198.51.100.9"),
        ("2001:db8::9", (), "2001:db8::9"),
        ("::ffff:198.51.100.9", (), "198.51.100.9"),
        ("10.1.2.3", ((FORWARDED, "198.51.100.9"),), "198.51.100.9"),
        ("10.1.2.3", ((FORWARDED, "203.0.113.1, 198.51.100.9"),), "198.51.100.9"),
        ("10.1.2.3", ((FORWARDED, "198.51.100.9, 192.0.2.7, 10.9.9.9"),), "198.51.100.9"),
        ("10.1.2.3", ((FORWARDED, "203.0.113.1"), (FORWARDED, "198.51.100.9")), "198.51.100.9"),
        ("10.1.2.3", ((FORWARDED, "198.51.100.9:4711"),), "198.51.100.9"),
        ("::1", ((FORWARDED, "[2001:db8::9]:4711"),), "2001:db8::9"),
        ("::1", ((FORWARDED, "2001:db8::9"),), "2001:db8::9"),
        ("10.1.2.3", ((FORWARDED, "198.51.100.9, unknown"),), None),
        ("10.1.2.3", ((FORWARDED, ""),), None),
        ("10.1.2.3", (), None),
        ("198.51.100.9", ((FORWARDED, "203.0.113.1"),), None),
        ("198.51.100.9", (("Via", "1.1 somebody"),), None),
        ("198.51.100.9", (("Forwarded", "for=203.0.113.1"),), None),
        (None, ((FORWARDED, "203.0.113.1"),), None),
    ],
)
def test_the_client_is_whom_our_own_proxies_name(
    peer: str | None, headers: tuple[tuple[str, str], ...], client: str | None
) -> None:
    assert address(peer, *headers) == client


def test_trusted_proxies_are_networks() -> None:
    assert Settings(trusted_proxies="10.0.0.0/8,2001:db8::/32").trusted_networks == read_networks(
        "10.0.0.0/8 , 2001:db8::/32"
    )
    assert Settings().trusted_networks == ()
    with pytest.raises(ValidationError, match=r"expected networks like 10\.0\.0\.0/8"):
        Settings(trusted_proxies="10.0.0.1/8")
