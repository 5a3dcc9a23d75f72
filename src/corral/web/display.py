"""How a device shows the pages: theme, density, time zone and hidden amounts.

The preferences are in a cookie of the device, which holds nothing about an account. The server applies them, so that
they hold before the first paint and without scripts.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from starlette.requests import cookie_parser
from starlette.responses import Response

from corral.accounts.params import time_zones
from corral.edge.middleware import Scope

EXCHANGE_ZONE_NAME: Final = "America/New_York"
MASK: Final = "\N{BULLET}" * 4  # in place of a hidden amount

# `--ground` of the styles in sRGB, for what the browser draws around the pages.
THEME_COLORS: Final = {"light": "#f8f8f5", "dark": "#0e1114"}

_COOKIE_SECONDS: Final = 365 * 24 * 60 * 60
_LONGEST_COOKIE: Final = 200

Choice = TypeVar("Choice", bound=StrEnum)


class Theme(StrEnum):
    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"

    @property
    def color_scheme(self) -> str:
        """The value of CSS `color-scheme`."""
        return "light dark" if self is Theme.SYSTEM else self.value


class Density(StrEnum):
    COMFORTABLE = "comfortable"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class Display:
    """`local_zone` is the IANA name of the device's time zone if times are shown in it, and None for New York."""

    theme: Theme = Theme.SYSTEM
    density: Density = Density.COMFORTABLE
    local_zone: str | None = None
    hides_amounts: bool = False

    @property
    def zone_name(self) -> str:
        """The IANA name of the zone in which times and days are shown."""
        return self.local_zone or EXCHANGE_ZONE_NAME

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone_name)


_CURRENT: Final = ContextVar("display", default=Display())  # noqa: B039 - frozen


def current_display() -> Display:
    """Returns the preferences of the request's device."""
    return _CURRENT.get()


def use_display(display: Display) -> None:
    """Sets the preferences for the rest of this task: each request is served by its own."""
    _CURRENT.set(display)


def parse_display(text: str) -> Display:
    """Reads a cookie's value. An unknown or malformed part has its default."""
    if len(text) > _LONGEST_COOKIE:
        return Display()
    parts = {name: value for name, _, value in (part.partition(":") for part in text.split("&"))}
    zone = unquote(parts.get("zone", ""))
    return Display(
        theme=_choice(Theme, parts.get("theme"), Theme.SYSTEM),
        density=_choice(Density, parts.get("density"), Density.COMFORTABLE),
        local_zone=zone if is_time_zone(zone) else None,
        hides_amounts=parts.get("amounts") == "hidden",
    )


def format_display(display: Display) -> str:
    """Returns the cookie's value, which `parse_display` reads."""
    zone = {"zone": quote(display.local_zone, safe="")} if display.local_zone else {}
    amounts = {"amounts": "hidden"} if display.hides_amounts else {}
    parts = {"theme": display.theme.value, "density": display.density.value, **zone, **amounts}
    return "&".join(f"{name}:{value}" for name, value in parts.items())


def is_time_zone(name: str) -> bool:
    return name in time_zones()


def display_cookie_name(public_url: str) -> str:
    """Bound to this host over https, like the session's cookie."""
    return "__Host-corral_display" if public_url.startswith("https://") else "corral_display"


def keep_display(display: Display, public_url: str, response: Response) -> None:
    """Stores the preferences on the device for a year."""
    response.set_cookie(
        display_cookie_name(public_url),
        format_display(display),
        max_age=_COOKIE_SECONDS,
        path="/",
        secure=public_url.startswith("https://"),
        httponly=True,
        samesite="lax",
    )


def read_display(scope: Scope, *, cookie_name: str) -> None:
    """Uses the preferences in the request's cookie, to be called before anything of it is shown."""
    sent = "; ".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie")
    use_display(parse_display(cookie_parser(sent).get(cookie_name, "")))


def _choice(choices: type[Choice], value: str | None, default: Choice) -> Choice:
    return next((choice for choice in choices if choice.value == value), default)
