"""IP networks from which a grant may be used."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from typing import Final

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

MOST_NETWORKS: Final = 16

# An address, or one with the length of its prefix. A netmask is refused: 0.0.0.255 can be read in two ways.
_CIDR: Final = re.compile(r"[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?", re.ASCII)


def parse_network(text: str) -> Network:
    """Returns the network; for an address, the network of it alone.

    Raises ValueError, also for an address within a network such as 192.0.2.7/24, which could mean either, and for an
    IPv4 network that is written as IPv6.
    """
    if not _CIDR.fullmatch(text):
        raise ValueError("not a network")
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError("an IPv4 network")
    return network


def canonical(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Returns the fewest networks that contain the same addresses, IPv4 first."""
    every = list(networks)
    return (
        *collapse_addresses(network for network in every if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in every if isinstance(network, IPv6Network)),
    )


def is_narrower(networks: Iterable[Network], than: Iterable[Network] | None) -> bool:
    """Whether all these addresses are within those, which are canonical; None stands for all that there are."""
    return than is None or all(any(_is_part(one, other) for other in than) for one in networks)


def is_within(address: Address | None, networks: Iterable[Network] | None) -> bool:
    """Whether the address is in one of the networks; None for networks stands for all, for an address for unknown.

    An IPv4 address that arrived on an IPv6 socket is an IPv4 address.
    """
    if networks is None or address is None:
        return networks is None
    plain = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
    return any(plain in network for network in networks)


def _is_part(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.subnet_of(other)
    return isinstance(other, IPv6Network) and one.subnet_of(other)
