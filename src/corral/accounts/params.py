"""Query parameters of the lists. Values that Alpaca would reject are rejected here, without a call.

Unknown parameters are rejected, so that a typo is noticed.
"""

from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Final
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from corral.alpaca.activities import MOST_ACTIVITIES, ActivityCategory, ActivityQuery
from corral.alpaca.fields import in_utc, instant
from corral.alpaca.orders import MOST_ORDERS, AssetClass, OrderQuery, OrderStatusFilter, OrderType, Side
from corral.alpaca.paging import Direction
from corral.alpaca.portfolio_history import HistoryQuery, IntradayReporting, ProfitReset, Timeframe
from corral.credentials.management import MOST_CREDENTIALS
from corral.errors import InvalidRequest

_LONGEST_INTRADAY: Final = timedelta(days=30)  # beyond that Alpaca takes whole days only
_DAYS_OF_UNIT: Final = {"D": 1, "W": 7, "M": 30, "A": 365}
_ID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
CREDENTIAL_IDS_PATTERN: Final = rf"^{_ID}(,{_ID}){{0,{MOST_CREDENTIALS - 1}}}$"


def _since_1970(text: str) -> str:
    moment = in_utc(text)
    if moment is None:
        raise ValueError("Enter an ISO 8601 time with a time zone: Z, or an offset with its + encoded as %2B.")
    if moment < "1970":
        raise ValueError("Enter a time after 1969.")
    return moment


Moment = Annotated[
    str,
    StringConstraints(max_length=40),
    AfterValidator(_since_1970),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]
Symbols = Annotated[
    str,
    Field(
        pattern=r"^[A-Z0-9./]{1,24}(,[A-Z0-9./]{1,24}){0,19}$",
        description="Comma-separated",
        examples=["AAPL,BTC/USD"],
    ),
]
Cursor = Annotated[str, Field(description="`next_cursor` of the previous page")]


def _known_time_zone(name: str) -> str:
    if name not in time_zones():
        raise ValueError("Enter the name of a time zone, such as America/New_York.")
    return name


@cache
def time_zones() -> frozenset[str]:
    """The IANA names. Two of Python's are no zones, and browsers do not have them."""
    return frozenset(available_timezones()) - {"Factory", "localtime"}


def in_time_zone(moment: str, zone: ZoneInfo) -> str:
    """Returns a time in UTC with the offset of the zone, and the same digits of a second."""
    second = moment[: len("YYYY-MM-DDTHH:MM:SS")]
    try:
        local = datetime.fromisoformat(f"{second}+00:00").astimezone(zone).isoformat()
    except (ValueError, OverflowError):  # at the first or the last day that a calendar has
        return moment
    return local[: len(second)] + moment[len(second) : -1] + local[len(second) :]


TimeZone = Annotated[
    str, StringConstraints(max_length=64), AfterValidator(_known_time_zone), Field(examples=["America/New_York"])
]


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OverviewParams(_Params):
    cash_flow: bool = Field(
        False, description="Also read deposits and withdrawals since the last close, by another call for each account"
    )


class OrdersParams(_Params):
    status: OrderStatusFilter = OrderStatusFilter.ALL
    symbols: Symbols | None = None
    side: Side | None = None
    type: OrderType | None = Field(
        None, description="Alpaca has no such filter, so a page may have fewer orders than `limit`, or none"
    )
    asset_class: AssetClass | None = Field(
        None, description="With `us_option`, `symbols` may be those of the underlyings"
    )
    after: Moment | None = Field(None, description="Submitted after this time")
    until: Moment | None = Field(None, description="Submitted before this time")
    direction: Direction = Field(Direction.DESCENDING, description="`desc`: newest first")

    def query(self) -> OrderQuery:
        """Raises InvalidRequest."""
        _refuse_disorder(after=self.after, until=self.until)
        return OrderQuery(
            status=self.status,
            symbols=_symbols_in(self.symbols),
            side=self.side,
            type=self.type,
            asset_class=self.asset_class,
            after=self.after,
            until=self.until,
            direction=self.direction,
        )


class OrdersPageParams(OrdersParams):
    limit: int = Field(100, ge=1, le=MOST_ORDERS)
    cursor: Cursor | None = None


class ActivitiesParams(_Params):
    activity_types: str | None = Field(
        None,
        pattern=r"^[A-Z]{2,10}(,[A-Z]{2,10}){0,49}$",
        description="Alpaca's activity types, comma-separated; not together with `category`",
        examples=["FILL,DIV"],
    )
    category: ActivityCategory | None = None
    symbols: Symbols | None = Field(
        None,
        description="Comma-separated. Alpaca has no such filter, so a page may have fewer activities than `limit`",
    )
    order_id: UUID | None = Field(None, description="The fills of this order")
    after: Moment | None = Field(None, description="Booked after this time")
    until: Moment | None = Field(None, description="Booked before this time")
    direction: Direction = Field(Direction.DESCENDING, description="`desc`: newest first")

    def query(self) -> ActivityQuery:
        """Raises InvalidRequest."""
        if self.activity_types and self.category:
            raise _refused(
                "category", "Alpaca does not accept category together with activity_types. Send only one of them."
            )
        _refuse_disorder(after=self.after, until=self.until)
        return ActivityQuery(
            types=tuple(self.activity_types.split(",")) if self.activity_types else (),
            category=self.category,
            order_id=str(self.order_id) if self.order_id else None,
            symbols=_symbols_in(self.symbols),
            after=self.after,
            until=self.until,
            direction=self.direction,
        )


class ActivitiesPageParams(ActivitiesParams):
    limit: int = Field(MOST_ACTIVITIES, ge=1, le=MOST_ACTIVITIES)
    cursor: Cursor | None = None


class ExportParams(_Params):
    time_zone: TimeZone | None = Field(
        None, description="Times are written in this time zone, with its offset. Default: UTC, with `Z`"
    )

    @property
    def zone(self) -> ZoneInfo | None:
        return None if self.time_zone is None else ZoneInfo(self.time_zone)


class OrdersExportParams(OrdersParams, ExportParams):
    pass


class ActivitiesExportParams(ActivitiesParams, ExportParams):
    pass


class HistoryParams(_Params):
    period: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]{0,3}[DWMA]$",
        description="Days, weeks, months or years; not together with both `start` and `end`. Default: one month",
        examples=["1M"],
    )
    timeframe: Timeframe | None = Field(
        None, description="Default: depends on the period. Beyond 30 days Alpaca has daily values (`1D`) only"
    )
    start: Moment | None = None
    end: Moment | None = None
    intraday_reporting: IntradayReporting | None = Field(None, description="Default: `market_hours`")
    pnl_reset: ProfitReset | None = Field(None, description="Default: `per_day`")

    def query(self) -> HistoryQuery:
        """Raises InvalidRequest for combinations that Alpaca does not accept."""
        if self.period and self.start and self.end:
            raise _refused("period", "Alpaca accepts at most two of period, start and end. Leave one out.")
        _refuse_disorder(start=self.start, end=self.end)
        if self.timeframe not in {None, Timeframe.ONE_DAY} and self._length() > _LONGEST_INTRADAY:
            raise _refused("timeframe", "Beyond 30 days Alpaca has daily values only. Use 1D, or a shorter period.")
        return HistoryQuery(**{name: getattr(self, name) for name in HistoryParams.model_fields})

    def _length(self) -> timedelta:
        if self.start and self.end:
            return datetime.fromisoformat(self.end[:19]) - datetime.fromisoformat(self.start[:19])
        if self.period is None:
            return timedelta()  # Alpaca's month
        return timedelta(days=int(self.period[:-1]) * _DAYS_OF_UNIT[self.period[-1]])


def _symbols_in(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _refuse_disorder(**bounds: str | None) -> None:
    """Takes two timestamps by their parameters' names. Raises InvalidRequest if the first is later than the second."""
    (earlier, since), (later, to) = bounds.items()
    if since and to and instant(since) >= instant(to):
        raise _refused(later, f"{earlier} has to be earlier than {later}.")


def _refused(parameter: str, reason: str) -> InvalidRequest:
    return InvalidRequest(reason, errors=[{"loc": ["query", parameter], "msg": reason}])
