"""Odd responses of Alpaca and of proxies, from public reports: no odd value makes a whole list fail."""

import csv
import io
from typing import Any

import pytest

from tests.accounts.alpaca_lists import DIVIDEND, FILL, POSITION, order
from tests.accounts.conftest import Account
from tests.log_lines import LogSince

Json = dict[str, Any]

_ORDERS, _POSITIONS, _ACTIVITIES = "/v2/orders", "/v2/positions", "/v2/account/activities"
_HISTORY = "/v2/account/portfolio/history"


async def _rows(account: Account, file: str) -> list[dict[str, str]]:
    async with account.person.client.get(f"/api/credentials/{account.credential_id}/{file}") as answer:
        assert answer.status == 200
        return list(csv.DictReader(io.StringIO(await answer.text(), newline="")))


async def test_an_empty_price_is_null(account: Account) -> None:
    # https://docs.alpaca.markets shows null; alpaca programs in the field have seen "" on a canceled order.
    await account.answer([order(1), order(2, status="canceled", filled_avg_price="")], path=_ORDERS)
    reported = await account.get("orders")
    assert [one["filled_avg_price"] for one in reported["items"]] == ["240.10", None]
    assert reported["unreadable"] == 0


async def test_an_order_that_cannot_be_read_is_left_out_counted_and_logged(account: Account, log: LogSince) -> None:
    await account.answer([order(1), order(2, limit_price="about 150"), order(3)], path=_ORDERS)
    reported = await account.get("orders")
    assert [one["id"][-1] for one in reported["items"]] == ["1", "3"]
    assert reported["unreadable"] == 1
    line = await log.awaited("alpaca_items_unreadable")
    assert (line["path"], line["items"], line["unreadable"], line["faults"]) == (
        _ORDERS, 3, 1, "limit_price not_a_number",
    )  # fmt: skip
    assert "about 150" not in log.text()


async def test_a_mostly_unreadable_list_is_an_error_that_the_log_explains(account: Account, log: LogSince) -> None:
    await account.answer([order(1, qty="many"), order(2, qty="few"), order(3)], path=_ORDERS)
    assert (await account.get("orders", refused=502))["code"] == "upstream_failed"
    line = await log.awaited("alpaca_unusable")
    assert (line["path"], line["fault"], line["field"]) == (_ORDERS, "mostly_unreadable", "qty")


async def test_an_order_without_an_id_is_an_error_that_paging_cannot_skip(account: Account) -> None:
    await account.answer([order(1), order(2, id=None), order(3)], path=_ORDERS)
    assert (await account.get("orders", refused=502, limit=1))["code"] == "upstream_failed"


async def test_paging_continues_after_an_unreadable_order(account: Account) -> None:
    many = [order(9 - n, submitted_at=f"2026-11-23T14:31:0{9 - n}Z") for n in range(4)]
    many[1]["qty"] = "?"
    await account.answer(many[:3], many[1:], path=_ORDERS)
    first = await account.get("orders", limit=2)
    assert ([one["id"][-1] for one in first["items"]], first["unreadable"]) == (["9"], 1)
    second = await account.get("orders", limit=2, cursor=first["next_cursor"])
    assert ([one["id"][-1] for one in second["items"]], second["unreadable"]) == (["7", "6"], 0)


@pytest.mark.parametrize("submitted_at", ["yesterday", None])
async def test_paging_continues_after_an_order_without_a_time(account: Account, submitted_at: str | None) -> None:
    many = [order(9 - n, submitted_at=f"2026-11-23T14:31:0{9 - n}Z") for n in range(4)]
    many[1]["submitted_at"] = submitted_at
    await account.answer(many[:3], many[1:], path=_ORDERS)
    first = await account.get("orders", limit=2)
    second = await account.get("orders", limit=2, cursor=first["next_cursor"])
    seen = [one["id"][-1] for one in first["items"] + second["items"]]
    assert [number for number in "9876" if number not in seen] == ([] if submitted_at is None else ["8"])
    assert len(seen) == len(set(seen))


async def test_fees_have_their_amount_and_description(account: Account) -> None:
    fees: list[Json] = [
        {"id": "1", "activity_type": "CFEE", "date": "2026-08-12", "net_amount": "0", "symbol": "ETHUSD",
         "qty": "-0.000195", "price": "1884.5", "description": "Coin pair fee", "status": "executed"},
        {"id": "2", "activity_type": "FEE", "date": "2026-08-04", "net_amount": "-0.31", "status": "executed",
         "description": "TAF fee for 1572 shares", "venue": "XNAS", "is_correction": False, "rate": 0.000166},
    ]  # fmt: skip
    await account.answer(fees, path=_ACTIVITIES)
    coin, taf = (await account.get("activities"))["items"]
    assert (coin["price"], coin["description"]) == ("1884.5", "Coin pair fee")
    assert taf["other"] == {"venue": "XNAS", "is_correction": False, "rate": "0.000166"}
    rows = await _rows(account, "activities.csv")
    assert [row["price"] for row in rows] == ["1884.5", ""]
    assert [row["description"] for row in rows] == ["Coin pair fee", "TAF fee for 1572 shares"]
    assert [row["other"] for row in rows] == ["", '{"venue": "XNAS", "is_correction": false, "rate": "0.000166"}']


async def test_a_date_with_a_time_is_reduced_to_its_day(account: Account) -> None:
    await account.answer([DIVIDEND, {**DIVIDEND, "id": "2", "date": "2026-08-05T00:00:00"}], path=_ACTIVITIES)
    reported = await account.get("activities")
    assert [one["date"] for one in reported["items"]] == ["2019-08-01", "2026-08-05"]


async def test_a_partly_unreadable_row_stays_in_the_file_and_names_the_fields(account: Account) -> None:
    bad_fill = {**FILL, "id": "3", "price": "=cmd()", "order_status": 7}
    await account.answer([FILL, bad_fill, {**DIVIDEND, "id": "4", "date": "soon"}, DIVIDEND], path=_ACTIVITIES)
    rows = await _rows(account, "activities.csv")
    assert [row["unreadable"] for row in rows] == ["", "price, order_status", "date", ""]
    assert [row["kind"] for row in rows] == ["trade", "trade", "non_trade", "non_trade"]
    assert (rows[1]["symbol"], rows[1]["price"], rows[1]["qty"]) == ("AAPL", "", "2")
    assert list(rows[0])[-1] == "unreadable"
    assert "cmd" not in str(rows)


async def test_positions_and_orders_stay_in_their_files_as_well(account: Account) -> None:
    await account.answer([POSITION, {**POSITION, "asset_id": "2", "qty": "?"}], path=_POSITIONS)
    assert [(row["symbol"], row["qty"], row["unreadable"]) for row in await _rows(account, "positions.csv")] == [
        ("AAPL", "-20", ""),
        ("AAPL", "", "qty"),
    ]
    await account.answer([order(1, legs=[order(2)]), order(3, legs="x")], path=_ORDERS)
    assert [(row["id"][-1], row["unreadable"]) for row in await _rows(account, "orders.csv")] == [
        ("1", ""),
        ("2", ""),
        ("3", "legs"),
    ]


async def test_a_history_with_a_zero_base_date_has_none(account: Account) -> None:
    history = {"timestamp": [1795600800], "equity": [1000.5], "profit_loss": [0], "profit_loss_pct": [None]}
    history |= {"base_value": None, "base_value_asof": "0000-00-00", "timeframe": "1Min"}
    await account.answer(history, path=_HISTORY)
    reported = await account.get("portfolio-history", period="1D")
    assert (reported["base_value_asof"], [point["equity"] for point in reported["items"]]) == (None, ["1000.5"])


async def test_a_history_of_null_columns_is_empty(account: Account) -> None:
    nothing: Json = dict.fromkeys(("timestamp", "equity", "profit_loss", "profit_loss_pct", "base_value"))
    await account.answer({**nothing, "timeframe": "1Min"}, path=_HISTORY)
    reported = await account.get("portfolio-history", period="1D")
    assert (reported["items"], reported["missing"], reported["unreadable"]) == ([], 0, 0)


async def test_a_history_says_how_many_points_are_missing(account: Account) -> None:
    history: Json = {"timestamp": [1795600800, 1795600860, 1795600920], "equity": [1, "?", 3]}
    history |= {"profit_loss": None, "profit_loss_pct": None, "base_value": 1, "timeframe": "1Min"}
    await account.answer(history, path=_HISTORY)
    reported = await account.get("portfolio-history", period="1D")
    assert ([point["equity"] for point in reported["items"]], reported["missing"]) == (["1", "3"], 1)


@pytest.mark.parametrize(
    ("read", "path", "status", "body", "code"),
    [
        ("portfolio-history", _HISTORY, 422, {"code": 42210000, "message": "invalid period"}, 42210000),
        ("positions", _POSITIONS, 403, {"code": 40310000, "message": "account is not authorized"}, 40310000),
        ("account-data", "/v2/account", 403, {"code": 40310000, "message": "account is not authorized"}, 40310000),
    ],
)
async def test_a_rejection_by_alpaca_is_not_reported_as_an_outage(
    account: Account, read: str, path: str, status: int, body: Json, code: int
) -> None:
    await account.misbehave(path=path, status=status, body=body)
    problem = await account.get(read, refused=409)
    assert (problem["code"], problem["alpaca_code"]) == ("alpaca_refused", code)
    assert str(code) in problem["detail"]
    assert "again shortly" not in problem["detail"]
    assert body["message"] not in str(problem)


_PAGE = "<html><head><title>403 Forbidden</title></head><body><center>nginx</center></body></html>"


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403, "body_text": _PAGE},
        {"status": 401, "body_text": "<html>Sign in to the hotel's network</html>"},
        {"status": 403, "body": {"message": "Forbidden"}},
        {"status": 401, "body": {"error": "proxy authentication"}},
        {"status": 407, "body_text": ""},
    ],
    ids=str,
)
async def test_an_error_of_a_proxy_says_nothing_about_the_keys(account: Account, fault: Json) -> None:
    await account.misbehave(path="/v2/account", **fault)
    problem = await account.get("account-data", refused=502)
    assert problem["code"] == "upstream_failed"
    assert "nginx" not in str(problem)
    async with account.person.client.post(f"/api/credentials/{account.credential_id}/validate") as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (502, "upstream_failed")
    assert (await account.metadata())["refused_at"] is None
