"""The audit trail in plain words: "Order submitted by grant My bot: buy 1 AAPL, limit 10.00"."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import BeforeValidator, Field

from corral.audit.models import Action, AuditEntry, Result
from corral.audit.queries import Filters
from corral.audit.reading import Deed
from corral.web.display import MASK, current_display
from corral.web.view.filters import PageParams
from corral.web.view.grants import ACCESS_NAMES

_TITLES: Final[Mapping[str, str]] = {
    Action.CREDENTIAL_ADDED: "Account added",
    Action.CREDENTIAL_RENAMED: "Account renamed",
    Action.CREDENTIAL_REKEYED: "API key replaced",
    Action.CREDENTIAL_PAUSED: "Account paused",
    Action.CREDENTIAL_RESUMED: "Account resumed",
    Action.CREDENTIAL_DELETED: "Account removed",
    Action.PASSWORD_CHANGED: "Password changed",
    Action.PASSWORD_RECOVERED: "Password reset with a recovery link",
    Action.RECOVERY_LINK_MADE: "Recovery link created",
    Action.TOKEN_MADE: "API token created",
    Action.TOKEN_REVOKED: "API token revoked",
    Action.TOKENS_REVOKED: "All API tokens revoked",
    Action.PERSON_DISABLED: "Member disabled",
    Action.PERSON_ENABLED: "Member enabled",
    Action.PERSON_PROMOTED: "Made an administrator",
    Action.PERSON_DEMOTED: "No longer an administrator",
    Action.CONFIRMATION_REFUSED: "Password confirmation",
    Action.SIGN_IN_REFUSED: "Sign-in",
    Action.GRANT_MADE: "Grant created",
    Action.GRANT_NARROWED: "Grant narrowed",
    Action.GRANT_RENEWED: "Grant renewed",
    Action.GRANT_REVOKED: "Grant revoked",
    Action.GRANTS_REVOKED: "All grants revoked",
    Action.GRANT_READ: "Read",
    Action.GRANT_REFUSED: "Request",
    Action.ORDER_SUBMIT: "Order submitted",
    Action.ORDER_REPLACE: "Order replaced",
    Action.ORDER_CANCEL: "Order canceled",
    Action.ORDERS_CANCEL: "All orders canceled",
    Action.POSITION_CLOSE: "Position closed",
    Action.POSITIONS_CLOSE: "All positions closed",
    Action.OPTION_EXERCISE: "Option exercised",
    Action.OPTION_DO_NOT_EXERCISE: "Option not to be exercised",
    Action.WATCHLIST_CHANGE: "Watchlist changed",
    Action.INSTALLATION_RESTORED: "Corral restored from a backup",
}
_NOT_DONE_TITLES: Final[Mapping[str, str]] = {
    Action.ORDER_SUBMIT: "Order",
    Action.ORDER_REPLACE: "Replacing an order",
    Action.ORDER_CANCEL: "Canceling an order",
    Action.ORDERS_CANCEL: "Canceling all orders",
    Action.POSITION_CLOSE: "Closing a position",
    Action.POSITIONS_CLOSE: "Closing all positions",
    Action.OPTION_EXERCISE: "Exercising an option",
    Action.OPTION_DO_NOT_EXERCISE: "Not exercising an option",
    Action.WATCHLIST_CHANGE: "Changing a watchlist",
}
_ORDERS: Final = tuple(_NOT_DONE_TITLES)
_REFUSALS: Final = (Action.GRANT_REFUSED, Action.SIGN_IN_REFUSED, Action.CONFIRMATION_REFUSED)
_GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "orders": _ORDERS,
    "reads": (Action.GRANT_READ,),
    "refusals": _REFUSALS,
    "grants": tuple(one for one in Action if one.startswith("grant") and one not in {*_REFUSALS, Action.GRANT_READ}),
    "accounts": tuple(one for one in Action if one.startswith("credential.")),
    "access": tuple(
        one
        for one in Action
        if one.startswith(("password", "recovery_link", "token", "person", "installation")) or one in _REFUSALS[1:]
    ),
}
GROUP_CHOICES: Final[Mapping[str, str]] = {
    "": "All",
    "orders": "Orders and positions",
    "reads": "Reads by programs",
    "refusals": "Refused requests",
    "grants": "Grants",
    "accounts": "Accounts and API keys",
    "access": "Sign-in and API tokens",
}
_RESULTS: Final[Mapping[str, str]] = {
    Result.BEGUN: "no answer yet",
    Result.DONE: "done",
    Result.REFUSED: "refused",
    Result.FAILED: "failed",
    Result.UNKNOWN: "outcome unknown",
}
_READ: Final[Mapping[str, str]] = {
    "GET /v2/account": "the account",
    "GET /v2/account/activities": "activities",
    "GET /v2/account/portfolio/history": "the equity history",
    "GET /v2/positions": "positions",
    "GET /v2/positions/{symbol_or_asset_id}": "a position",
    "GET /v2/orders": "orders",
    "GET /v2/orders/{order_id}": "an order",
    "GET /v2/clock": "the clock",
    "GET /v2/calendar": "the calendar",
}
_KINDS: Final[Mapping[str, str]] = {
    "session": "by you",
    "person": "by an administrator",
    "link": "with a link",
    "operator": "by the server's operator",
    "anyone": "by someone not signed in",
}
_SHORT_ID: Final = 8


def _none_for_empty(value: object) -> object:
    return None if value == "" else value


OptionalId = Annotated[UUID | None, BeforeValidator(_none_for_empty)]


class TrailParams(PageParams):
    """`cursor` is the number of the last entry of the page before."""

    account: OptionalId = None
    group: str = Field("", pattern=f"^({'|'.join(_GROUPS)})?$")
    grant: OptionalId = None
    cursor: int | None = Field(default=None, ge=1, le=2**63 - 1)

    @property
    def filters(self) -> Filters:
        actions = _GROUPS.get(self.group)
        return Filters(before=self.cursor, credential_id=self.account, actions=actions, grant_id=self.grant)

    @property
    def is_filtered(self) -> bool:
        return bool(self.account or self.group or self.grant)


@dataclass(frozen=True, slots=True)
class PresentNames:
    """What the ids in a trail are called now, for those that still exist."""

    accounts: Mapping[UUID, str]
    grants: Mapping[UUID, str]
    tokens: Mapping[UUID, str]


@dataclass(frozen=True, slots=True)
class TrailRow:
    """`stands_out`: it was not simply done. `remarks` are short, and follow the time."""

    at: datetime
    title: str
    text: str
    result: str
    stands_out: bool
    remarks: Sequence[str]


@dataclass(frozen=True, slots=True)
class TrailDay:
    """A day of the zone that the device shows."""

    day: date
    rows: list[TrailRow] = field(default_factory=list[TrailRow])


def by_day(deeds: Sequence[Deed], names: PresentNames) -> list[TrailDay]:
    """Keeps the order."""
    days: list[TrailDay] = []
    for deed in deeds:
        day = deed.entry.at.astimezone(current_display().zone).date()
        if not days or days[-1].day != day:
            days.append(TrailDay(day))
        days[-1].rows.append(describe_deed(deed, names))
    return days


def describe_deed(deed: Deed, names: PresentNames) -> TrailRow:
    entry = deed.entry
    told = deed.begun or entry
    what = _what(told)
    return TrailRow(
        at=entry.at,
        title=_title(entry),
        text=f"{_by(entry, names)}{f': {what}' if what else ''}".strip(),
        result=_RESULTS.get(entry.result, entry.result),
        stands_out=entry.result != Result.DONE,
        remarks=[remark for remark in _remarks(deed, names) if remark],
    )


def _title(entry: AuditEntry) -> str:
    title = _TITLES.get(entry.action, entry.action)
    return title if entry.result == Result.DONE else _NOT_DONE_TITLES.get(entry.action, title)


def describe_order(details: Mapping[str, str]) -> str:
    """`buy 1 AAPL, limit 10.00`, from the fields of an order as they were sent; as much as there is of them."""
    amount = _amount(details.get("qty", "")) or (f"${_amount(details['notional'])} of" if "notional" in details else "")
    what = " ".join(part for part in (details.get("side", ""), amount, details.get("symbol", "")) if part)
    order_class = details.get("order_class", "")
    terms = [what or ("several legs" if order_class == "mleg" else ""), *_price_terms(details)]
    if order_class not in {"", "simple", "mleg"}:
        terms.append(order_class.upper() if order_class in {"oco", "oto"} else order_class)
    return ", ".join(term for term in terms if term)


def _amount(amount: str) -> str:
    return MASK if amount and current_display().hides_amounts else amount


def _price_terms(details: Mapping[str, str]) -> Iterator[str]:
    if details.get("type") == "market":
        yield "market"
    for name, words in (("stop_price", "stop"), ("limit_price", "limit"), ("trail_price", "trailing by")):
        if name in details:
            yield f"{words} {details[name]}"
    if "trail_percent" in details:
        yield f"trailing by {details['trail_percent']}%"
    if "trail" in details:
        yield f"trailing by {details['trail']}"


def _what(entry: AuditEntry) -> str:
    describe = _DESCRIPTIONS.get(entry.action)
    return describe(entry) if describe else entry.details.get("name", "")


def _closed(entry: AuditEntry) -> str:
    details = entry.details
    part = _amount(details.get("qty", "")) or (f"{details['percentage']}%" if "percentage" in details else "")
    return f"{part} of {entry.object_id}" if part else entry.object_id or ""


def _read(entry: AuditEntry) -> str:
    purpose = entry.details.get("purpose", "")
    return f"{_READ.get(purpose, purpose.removeprefix('GET '))}, {_times(entry)}"


def _times(entry: AuditEntry) -> str:
    count = entry.details.get("count", "1")
    return "once" if count == "1" else f"{count} times"


def _renamed(entry: AuditEntry) -> str:
    return f"“{entry.details.get('before', '')}” is now “{entry.details.get('name', '')}”"


_DESCRIPTIONS: Final[Mapping[str, Callable[[AuditEntry], str]]] = {
    Action.ORDER_SUBMIT: lambda entry: describe_order(entry.details),
    Action.ORDER_REPLACE: lambda entry: describe_order(entry.details),
    Action.ORDER_CANCEL: lambda entry: entry.object_id or "",
    Action.POSITION_CLOSE: _closed,
    Action.OPTION_EXERCISE: lambda entry: entry.object_id or "",
    Action.OPTION_DO_NOT_EXERCISE: lambda entry: entry.object_id or "",
    Action.GRANT_READ: _read,
    Action.GRANT_REFUSED: _times,
    Action.SIGN_IN_REFUSED: _times,
    Action.CREDENTIAL_RENAMED: _renamed,
    Action.INSTALLATION_RESTORED: lambda entry: f"everything as of {entry.details.get('backup_of', 'then')}",
}


def _by(entry: AuditEntry, names: PresentNames) -> str:
    kind, _, identifier = entry.actor.partition(":")
    if kind in _KINDS:
        return _KINDS[kind]
    known = {"grant": ("by grant", names.grants), "token": ("with API token", names.tokens)}
    if kind not in known:
        return f"by {entry.actor}"
    words, named = known[kind]
    return f"{words} {_named(named, identifier) or f'{identifier[:_SHORT_ID]}… (revoked)'}"


def _named(names: Mapping[UUID, str], identifier: str) -> str:
    try:
        return names.get(UUID(identifier), "")
    except ValueError:
        return ""


def _remarks(deed: Deed, names: PresentNames) -> Iterator[str]:
    entry, told = deed.entry, deed.begun or deed.entry
    if entry.credential_id and not entry.action.startswith("credential."):
        yield names.accounts.get(entry.credential_id) or told.details.get("name") or "a removed account"
    yield ACCESS_NAMES.get(entry.details.get("access", ""), "")
    yield f"only from {entry.details['networks'].replace(' ', ', ')}" if "networks" in entry.details else ""
    address = entry.address or told.address
    yield f"from {address}" if address else ""
    yield entry.details.get("reason") or entry.details.get("code", "").replace("_", " ")
    if entry.result != Result.DONE and "status" in entry.details:
        yield f"Alpaca's answer: {entry.details['status']}"
    if entry.result in {Result.UNKNOWN, Result.BEGUN} and "client_order_id" in told.details:
        yield f"client order ID {told.details['client_order_id']}"
