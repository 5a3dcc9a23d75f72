"""Renders templates and problem pages, and loads a part of a page within a time limit."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic import BaseModel

from corral.accounts.cache import Answer
from corral.alpaca.environments import Environment
from corral.edge.middleware import Scope
from corral.edge.problems import Headers, render_problem
from corral.errors import Problem
from corral.identity.models import AuthUser
from corral.web.confirmations import forget_confirmation, pending_confirmation
from corral.web.display import THEME_COLORS, current_display
from corral.web.forms import initial_form
from corral.web.page_user import known_page_user, page_path
from corral.web.static_files import STATIC_PATH
from corral.web.view.activities import (
    activity_name,
    amount_currency,
    has_coin_digits,
    sub_type_name,
    trade_amount,
    trade_name,
)
from corral.web.view.equity import market_hours
from corral.web.view.figures import (
    accessible,
    direction,
    format_amount,
    format_change,
    format_decimal,
    format_gain,
    format_money,
    format_ordinal,
    format_percent,
    format_price,
    format_quantity,
    format_weight,
    gain_data,
    has_long_numbers,
    long_class,
    mask_numbers,
    money_data,
    percent_data,
    percent_direction,
    quote_currency,
    spoken,
    unless_masked,
)
from corral.web.view.instruments import format_expiry, instrument_name
from corral.web.view.orders import (
    average_price,
    fixed_prices,
    humanize,
    is_wholly_filled,
    leg_ratio,
    leg_role,
    order_class_name,
    order_kind,
    order_symbol,
    order_tag,
    price_terms,
    row_prices,
    side_name,
    status_meaning,
    time_in_force_meaning,
    time_in_force_name,
)
from corral.web.view.times import (
    format_day,
    format_exchange_day,
    format_exchange_time,
    format_full_timestamp,
    format_short_day,
    format_short_timestamp,
    format_timestamp,
    zone_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SANDBOX_BANNER: Final = "SANDBOX: no real money, no real Alpaca account"

PAGE_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    # With `no-referrer` browsers send "Origin: null" with a form, as they do for cross-origin requests.
    "referrer-policy": "same-origin",
}

# How long a page waits for Alpaca before it is sent without the part. Short enough to go unnoticed.
PAGE_WAIT_SECONDS: Final = 0.15

Value = TypeVar("Value", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Deferred(Generic[Value]):
    """The value or the problem; with neither, the request to Alpaca is still pending."""

    value: Value | None = None
    problem: Problem | None = None

    @property
    def is_pending(self) -> bool:
        return self.value is None and self.problem is None


async def load_within(seconds: float | None, answer: Awaitable[Answer[Value]]) -> Deferred[Value]:
    """Waits `seconds` at most, or until Alpaca's own timeout for None.

    A shared request to Alpaca continues after the timeout, so the next page finds its answer.
    """
    try:
        async with asyncio.timeout(seconds):
            return Deferred(value=(await answer).value)
    except TimeoutError:
        return Deferred()
    except Problem as problem:
        return Deferred(problem=problem)


def render_page(
    request: Request,
    template: str,
    *,
    user: AuthUser | None,
    environment: Environment | None = None,
    status: int = 200,
    **content: object,
) -> HTMLResponse:
    """`template` is a file name in `templates/`. `environment` is that of the account that the page shows; it sets
    the color of the layout.
    """
    confirmation = pending_confirmation(request) if status < HTTPStatus.BAD_REQUEST else None
    html = render(
        template,
        user=user,
        confirmation=confirmation,
        sandbox=request.state.sandbox,
        here=request.url.path,
        page_path=page_path(request),
        environment=environment,
        **content,
    )
    response = HTMLResponse(html, status, headers=PAGE_HEADERS)
    if confirmation is not None:
        forget_confirmation(request, response)
    return response


def render_problem_page(
    scope: Scope, problem: Problem, request_id: str, *, sandbox: bool, session_cookie: str
) -> tuple[int, Headers, bytes]:
    """Returns status, headers and body, with the navigation of a user whom the request has already identified.

    Needs no database, because the problem may be the database itself. Then whoever sent a session keeps the links to
    the pages, which need one.
    """
    status, headers, _ = render_problem(problem, request_id)
    kept = [(name, value) for name, value in headers if name not in {b"content-type", b"content-length"}]
    body = render(
        "problem.html",
        user=known_page_user(scope),
        confirmation=None,
        sandbox=sandbox,
        here="",
        environment=None,
        problem=problem,
        request_id=request_id,
        has_session=problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and _has_cookie(scope, session_cookie),
        retry=_path_to_retry(scope, problem),
    ).encode()
    return status, [*kept, *_encoded_page_headers(), (b"content-length", b"%d" % len(body))], body


def render(template: str, **content: object) -> str:
    display = current_display()
    shown = {"display": display, "zone_names": zone_names(display.zone_name)}
    return _TEMPLATES.get_template(template).render(_GLOBALS | shown | content)


def code_spans(text: str) -> Markup:
    """Escapes the text and puts what is between backticks into `<code>`."""
    parts = [escape(part) for part in text.split("`")]
    return Markup().join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def text_beyond_title(problem: Problem) -> str:
    """Returns the detail without a first sentence that repeats the title above it."""
    return problem.detail.removeprefix(f"{problem.title}.").strip()


def _has_cookie(scope: Scope, name: str) -> bool:
    return name in Request(scope).cookies


def _path_to_retry(scope: Scope, problem: Problem) -> str | None:
    """Returns the page to load again when the problem may have passed."""
    is_passing = problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR or problem.retry_after is not None
    return page_path(Request(scope)) if is_passing else None


def _encoded_page_headers() -> Headers:
    headers: dict[str, Any] = {"content-type": "text/html; charset=utf-8", **PAGE_HEADERS}
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def load_templates() -> Templates:
    """Returns the templates with the filters that they use."""
    templates = Templates(
        loader=PackageLoader("corral.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters = cast("dict[str, Callable[..., object]]", templates.filters)
    filters.update(money=format_money, change=format_change, direction=direction, timestamp=format_timestamp)
    filters.update(percent_direction=percent_direction, quote=quote_currency)
    filters.update(long=long_class)
    filters.update(price=format_price, gain=format_gain, percent=format_percent)
    filters.update(quantity=format_quantity, weight=format_weight, ordinal=format_ordinal)
    filters.update(money_data=money_data, gain_data=gain_data, percent_data=percent_data)
    filters.update(amount=format_amount, decimal=format_decimal)
    filters.update(accessible=accessible, spoken=spoken, mask_numbers=mask_numbers, unless_masked=unless_masked)
    filters.update(full_timestamp=format_full_timestamp, day=format_day)
    filters.update(exchange_time=format_exchange_time, exchange_day=format_exchange_day)
    filters.update(order_class_name=order_class_name, order_symbol=order_symbol, leg_role=leg_role, leg_ratio=leg_ratio)
    filters.update(short_timestamp=format_short_timestamp, short_day=format_short_day)
    filters.update(order_kind=order_kind, order_tag=order_tag, side_name=side_name, humanize=humanize)
    filters.update(
        price_terms=price_terms,
        row_prices=row_prices,
        fixed_prices=fixed_prices,
        average_price=average_price,
        status_meaning=status_meaning,
    )
    filters.update(time_in_force=time_in_force_name, time_in_force_meaning=time_in_force_meaning)
    filters.update(activity_name=activity_name, sub_type_name=sub_type_name, trade_name=trade_name)
    filters.update(trade_amount=trade_amount, amount_currency=amount_currency, has_coin_digits=has_coin_digits)
    filters.update(instrument_name=instrument_name, expiry=format_expiry)
    tests = cast("dict[str, Callable[..., bool]]", templates.tests)
    tests.update(wholly_filled=is_wholly_filled, with_long_numbers=has_long_numbers)
    filters.update(market_hours=market_hours, code_spans=code_spans, beyond_title=text_beyond_title)
    return templates


_TEMPLATES: Final = load_templates()
_GLOBALS: Final = {
    "static": STATIC_PATH,
    "theme_colors": THEME_COLORS,
    "banner": SANDBOX_BANNER,
    "blank": initial_form(),
}
