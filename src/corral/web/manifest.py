"""The web application manifest (W3C), by which a device installs the pages. There is no service worker: nothing of an
account is kept on the device.
"""

from typing import Final, TypedDict

from corral.web.display import THEME_COLORS
from corral.web.static_files import STATIC_PATH


class Icon(TypedDict):
    src: str
    sizes: str
    type: str
    purpose: str


class WebAppManifest(TypedDict):
    id: str
    name: str
    short_name: str
    description: str
    lang: str
    start_url: str
    scope: str
    display: str
    background_color: str
    theme_color: str
    icons: list[Icon]


_ICONS: Final = [("icon-192.png", 192, "any"), ("icon-512.png", 512, "any"), ("icon-maskable-512.png", 512, "maskable")]


def describe_application(*, sandbox: bool) -> WebAppManifest:
    return {
        "id": "/",
        "name": "Corral (SANDBOX)" if sandbox else "Corral",
        "short_name": "Corral",
        "description": "Your Alpaca accounts at a glance.",
        "lang": "en",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        # One color for both themes; the pages' own meta elements have the theme's.
        "background_color": THEME_COLORS["light"],
        "theme_color": THEME_COLORS["light"],
        "icons": [_icon(*icon) for icon in _ICONS],
    }


def _icon(name: str, pixels: int, purpose: str) -> Icon:
    size = f"{pixels}x{pixels}"
    return {"src": f"{STATIC_PATH}/icons/{name}", "sizes": size, "type": "image/png", "purpose": purpose}
