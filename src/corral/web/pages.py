"""The pages' HTML, put together once at the start: a frame, and in it what each page says."""

from html import escape
from importlib.resources.abc import Traversable
from string import Template
from typing import Final

SANDBOX_BANNER: Final = "SANDBOX: no real money, no real Alpaca account"

# By the name of its template and of its script.
_TITLES: Final = {
    "accounts": "Accounts",
    "sign_in": "Sign in",
    "set_up": "Set up",
    "api_docs": "API",
}


def render_pages(templates: Traversable, static_address: str, *, sandbox: bool) -> dict[str, str]:
    """Every page by its name. In the sandbox each says so, in its title too: tabs are all that some people see."""
    frame = Template((templates / "frame.html").read_text(encoding="utf-8"))
    return {
        name: frame.substitute(
            title=escape(f"SANDBOX · {title} · Corral" if sandbox else f"{title} · Corral"),
            static=escape(static_address),
            script=escape(name),
            banner=f'<p class="sandbox-banner" role="note">{escape(SANDBOX_BANNER)}</p>' if sandbox else "",
            main=(templates / f"{name}.html").read_text(encoding="utf-8").rstrip(),
        )
        for name, title in _TITLES.items()
    }
