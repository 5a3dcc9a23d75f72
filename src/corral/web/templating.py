"""Pages from templates: one frame, everything escaped, and a name that nobody filled in is a bug that shows."""

from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined

from corral.alpaca.environments import Environment
from corral.edge.problems import Headers
from corral.identity.models import AuthUser
from corral.web.equity import exchange_day, exchange_time, hours
from corral.web.figures import (
    direction,
    percent_direction,
    quote_currency,
    written_change,
    written_gain,
    written_moment,
    written_money,
    written_percent,
    written_price,
    written_quantity,
    written_weight,
)
from corral.web.forms import filled
from corral.web.prose import prose
from corral.web.static_files import STATIC_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable

SANDBOX_BANNER: Final = "SANDBOX: no real money, no real Alpaca account"

PAGE_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    # Under `no-referrer` a browser says "Origin: null" with a form, and that is what strangers say, too.
    "referrer-policy": "same-origin",
}


def _templates() -> Templates:
    templates = Templates(
        loader=PackageLoader("corral.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters = cast("dict[str, Callable[..., str]]", templates.filters)
    filters.update(money=written_money, change=written_change, direction=direction, moment=written_moment)
    filters.update(percent_direction=percent_direction, quote=quote_currency)
    filters.update(price=written_price, gain=written_gain, percent=written_percent)
    filters.update(quantity=written_quantity, weight=written_weight)
    filters.update(exchange_time=exchange_time, exchange_day=exchange_day)
    filters.update(hours=hours, prose=prose)
    return templates


_TEMPLATES: Final = _templates()
_FOR_ALL: Final = {"static": STATIC_ADDRESS, "banner": SANDBOX_BANNER, "blank": filled()}


def render_page(
    request: Request,
    template: str,
    *,
    user: AuthUser | None,
    environment: Environment | None = None,
    status: int = 200,
    **content: object,
) -> HTMLResponse:
    """`template` is a file's name in `templates/`. With an `environment` the whole page is about an account in it,
    and its frame has that one's colour.
    """
    html = render(
        template, user=user, sandbox=request.state.sandbox, here=request.url.path, environment=environment, **content
    )
    return HTMLResponse(html, status, headers=PAGE_HEADERS)


def render(template: str, **content: object) -> str:
    return _TEMPLATES.get_template(template).render(_FOR_ALL | content)


def encoded_page_headers() -> Headers:
    """For what answers past the framework."""
    headers: dict[str, Any] = {"content-type": "text/html; charset=utf-8", **PAGE_HEADERS}
    return [(name.encode(), value.encode()) for name, value in headers.items()]
