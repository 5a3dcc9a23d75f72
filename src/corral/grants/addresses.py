"""Where programs reach the gateway with a grant."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatewayAddresses:
    """What takes the place of Alpaca's addresses in a program, without a slash at the end."""

    base_url: str
    data_url: str
    stream_url: str


def gateway_addresses(public_url: str, gateway_url: str | None) -> GatewayAddresses:
    """At an origin of its own, the gateway is at the root; beside the pages, below /alpaca."""
    if gateway_url is not None:
        return GatewayAddresses(gateway_url, gateway_url, _socket(gateway_url))
    base_url = f"{public_url}/alpaca"
    return GatewayAddresses(base_url, f"{base_url}/data", _socket(f"{base_url}/stream"))


def _socket(url: str) -> str:
    return "ws" + url.removeprefix("http")
