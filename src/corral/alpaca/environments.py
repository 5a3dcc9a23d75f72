"""The URLs of Alpaca: a closed set, fixed at startup.

No part of a request or of the database ever becomes part of a URL. A row says paper or live, which selects one of
the two URLs here.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import Self

from yarl import URL

from corral.settings import Settings

_PAPER_HOST = "paper-api.alpaca.markets"
_LIVE_HOST = "api.alpaca.markets"


class Environment(StrEnum):
    """`paper` is simulated trading, `live` is real money. A key works in one of them only."""

    PAPER = "paper"
    LIVE = "live"


def hint_from_key_id(key_id: str) -> Environment:
    """Returns the environment to try first. Alpaca does not promise the prefixes `PK…` and `AK…`."""
    return Environment.LIVE if key_id.startswith("AK") else Environment.PAPER


@dataclass(frozen=True, slots=True)
class Hosts:
    """Base URLs without a trailing slash: paper trading, live trading, market data.

    With a `proxy`, every connection to them is made through it.
    """

    paper: URL
    live: URL
    data: URL
    proxy: URL | None = None

    @classmethod
    def from_urls(
        cls,
        *,
        paper: str = "https://paper-api.alpaca.markets",
        live: str = "https://api.alpaca.markets",
        data: str = "https://data.alpaca.markets",
        proxy: str | None = None,
    ) -> Self:
        """Returns the configured base URLs, with their path prefixes.

        Raises ValueError, with a sentence for the operator, for anything but https (plain http is for
        loopback hosts), for user names, queries and fragments, which could redirect or leak a key, when paper
        and live are the same or exchanged, and for a proxy that would read the keys.
        """
        hosts = cls(paper=_base_url("paper", paper), live=_base_url("live", live), data=_base_url("data", data))
        _refuse_mixed_up(hosts)
        return hosts if proxy is None else replace(hosts, proxy=_proxy_url(proxy, hosts))

    def trade_updates(self, environment: Environment) -> URL:
        """The WebSocket URL of the trading API: wss for https, ws for http."""
        base = self.trading(environment)
        scheme = "wss" if base.scheme == "https" else "ws"
        return base.with_path(f"{base.raw_path.rstrip('/')}/stream", encoded=True).with_scheme(scheme)

    def trading(self, environment: Environment) -> URL:
        return self.live if environment is Environment.LIVE else self.paper


def _base_url(name: str, text: str) -> URL:
    url = _parsed(text)
    if url is None or url.scheme not in {"http", "https"} or not url.host or "%" in url.host:
        raise ValueError(f"CORRAL_ALPACA_{name.upper()}_URL is not an http(s) address with a host.")
    if "@" in text:
        raise ValueError(f"CORRAL_ALPACA_{name.upper()}_URL must not contain a user name or a password.")
    if "?" in text or "#" in text:
        raise ValueError(f"CORRAL_ALPACA_{name.upper()}_URL must not contain a query or a fragment.")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise ValueError(
            f"CORRAL_ALPACA_{name.upper()}_URL must begin with https: plain http is for loopback hosts only."
        )
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)


def _refuse_mixed_up(hosts: Hosts) -> None:
    """Keys that were stored as paper must never trade real money."""
    if _place(hosts.paper) == _place(hosts.live):
        raise ValueError("CORRAL_ALPACA_PAPER_URL and CORRAL_ALPACA_LIVE_URL are the same: paper and live must differ.")
    if hosts.paper.host == _LIVE_HOST or hosts.live.host == _PAPER_HOST:
        raise ValueError(
            f"Alpaca's paper and live URLs are exchanged: {_PAPER_HOST} is paper and {_LIVE_HOST} is live."
        )


def _place(url: URL) -> tuple[str | None, int | None, str]:
    return url.host and url.host.rstrip("."), url.port, url.raw_path.rstrip("/")


def _proxy_url(text: str, hosts: Hosts) -> URL:
    url = _parsed(text)
    if (
        url is None
        or url.scheme not in {"http", "https"}
        or not url.host
        or url.raw_path.strip("/")
        or url.query_string
    ):
        raise ValueError("CORRAL_ALPACA_PROXY is not an address like http://proxy.example.com:3128.")
    if any(base.scheme != "https" for base in (hosts.paper, hosts.live, hosts.data)):
        raise ValueError("CORRAL_ALPACA_PROXY is for https addresses only: over plain http it could read the keys.")
    return url


def _parsed(text: str) -> URL | None:
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return None
    with suppress(ValueError):
        return URL(text)
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def configured_hosts(settings: Settings) -> Hosts:
    """Raises ValueError for an invalid URL, and for URLs that must not be combined."""
    proxy = settings.alpaca_proxy
    return Hosts.from_urls(
        paper=settings.alpaca_paper_url,
        live=settings.alpaca_live_url,
        data=settings.alpaca_data_url,
        proxy=proxy.get_secret_value() if proxy else None,
    )
