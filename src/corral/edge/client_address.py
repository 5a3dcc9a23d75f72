"""The address of a request's client, also behind reverse proxies of our own. Everybody else's word is not believed."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from corral.settings import Network

if TYPE_CHECKING:
    from corral.edge.middleware import Scope

Address = IPv4Address | IPv6Address

# What a proxy adds. A client of ours may write it, too.
_ADDED_BY_PROXIES: Final = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"})
_MOST_HOPS: Final = 32


def client_address(scope: "Scope", trusted: Sequence[Network]) -> Address | None:
    """Returns the peer's address, or the last one in `X-Forwarded-For` that is not ours if the peer is one of ours.

    Returns None if it cannot be known: the request came by a proxy that is not ours, or ours did not say from whom.
    """
    peer = _address(scope["client"][0]) if scope.get("client") else None
    if peer is None or not _is_in(peer, trusted):
        return None if came_by_a_proxy(scope["headers"]) else peer
    hops = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").split(b",")
    for hop in reversed(hops[-_MOST_HOPS:]):
        address = _address(hop.strip().decode("latin-1"))
        if address is None or not _is_in(address, trusted):
            return address
    return None


def came_by_a_proxy(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name in _ADDED_BY_PROXIES for name, _ in headers)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _address(text: str) -> Address | None:
    """Reads an address, with a port or without. An IPv4 address that is written as IPv6 is the IPv4 one."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    with suppress(ValueError):
        address = ip_address(text)
        return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
    return None
