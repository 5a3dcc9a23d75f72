"""Orders of a group, and replacements."""

from decimal import Decimal
from typing import Any

from tests.sandbox.broker import Broker

_CENT = Decimal("0.01")


def _statuses(order: Any) -> list[str]:  # noqa: ANN401 - JSON
    return [order["status"], *(leg["status"] for leg in order["legs"] or ())]


def _bracket(broker: Broker, **fields: object) -> Any:  # noqa: ANN401 - JSON
    price_now = broker.price("KO")
    return broker.place(
        qty="10",
        order_class="bracket",
        time_in_force="gtc",
        take_profit={"limit_price": str(price_now + Decimal("0.15"))},
        stop_loss={"stop_price": str(price_now - Decimal("0.15"))},
        **fields,
    )


def test_a_brackets_exits_are_held_until_the_entry_is_filled() -> None:
    broker = Broker()
    entry = _bracket(broker, type="limit", limit_price=str(broker.price("KO") - Decimal("0.10")))
    assert _statuses(entry) == ["pending_new", "held", "held"]
    assert _statuses(broker.look(entry)) == ["new", "held", "held"]

    broker.now = broker.first("KO", 6, below=broker.price("KO") - Decimal("0.10"))

    filled = broker.look(entry)
    assert _statuses(filled) == ["filled", "new", "held"]
    assert len({filled["group_id"], *(leg["group_id"] for leg in filled["legs"])}) == 1
    assert [filled["group_role"], *(leg["group_role"] for leg in filled["legs"])] == [
        "entry",
        "take_profit",
        "stop_loss",
    ]


def test_a_filled_exit_of_a_bracket_cancels_the_other() -> None:
    ends = set[tuple[str, ...]]()
    for day in range(16, 21):
        broker = Broker(at=f"2026-11-{day}T15:00:00Z")
        entry = _bracket(broker)
        broker.pass_time(until="2026-12-01T15:00:00Z")
        ends.add(tuple(_statuses(broker.look(entry))))
        assert broker.held("KO") == 0

    assert ends == {("filled", "filled", "canceled"), ("filled", "canceled", "filled")}


def test_canceling_an_entry_cancels_its_exits() -> None:
    broker = Broker()
    entry = _bracket(broker, type="limit", limit_price="5")

    assert broker.ask("DELETE", f"/v2/orders/{entry['id']}") == (204, None)

    assert _statuses(broker.look(entry)) == ["canceled"] * 3


def test_of_the_two_exits_of_an_oco_one_is_filled() -> None:
    broker = Broker()
    here = broker.price("GLD")
    order = broker.place(
        symbol="GLD",
        side="sell",
        type="limit",
        qty="90",
        time_in_force="gtc",
        order_class="oco",
        take_profit={"limit_price": str(here + Decimal("0.5"))},
        stop_loss={"stop_price": str(here - Decimal("0.5")), "limit_price": str(here - Decimal("0.9"))},
    )
    assert _statuses(broker.look(order)) == ["new", "held"]
    assert broker.get("/v2/positions/GLD")["qty_available"] == "0"

    broker.pass_time(until="2026-12-01T15:00:00Z")

    assert sorted(_statuses(broker.look(order))) == ["canceled", "filled"]
    assert broker.held("GLD") == 0


def test_canceling_one_half_of_an_oco_cancels_the_other() -> None:
    broker = Broker()
    order = broker.place(
        symbol="GLD",
        side="sell",
        type="limit",
        qty="1",
        order_class="oco",
        take_profit={"limit_price": "900"},
        stop_loss={"stop_price": "100"},
    )

    broker.ask("DELETE", f"/v2/orders/{order['legs'][0]['id']}")

    assert _statuses(broker.look(order)) == ["canceled", "canceled"]


def test_an_oto_has_one_exit() -> None:
    broker = Broker()

    order = broker.place(qty="1", order_class="oto", stop_loss={"stop_price": "5"})

    assert _statuses(order) == ["pending_new", "held"]
    assert _statuses(broker.look(order)) == ["filled", "new"]


def test_a_replacement_is_a_new_order() -> None:
    broker = Broker()
    old = broker.place(type="limit", qty="10", limit_price="5", client_order_id="mine")

    status, new = broker.ask("PATCH", f"/v2/orders/{old['id']}", {"qty": "7", "limit_price": "6"})

    seen = broker.look(old)
    assert status == 200
    assert (seen["status"], seen["replaced_by"], new["replaces"]) == ("replaced", new["id"], old["id"])
    assert seen["replaced_at"] is not None
    assert (new["qty"], new["limit_price"], broker.look(new)["status"]) == ("7", "6", "new")
    assert new["client_order_id"] not in {"mine", None}


def test_what_a_replacement_leaves_open_stays_as_it_was() -> None:
    """The SDK for Go writes null and "" there."""
    broker = Broker()
    old = broker.place(type="limit", qty="10", limit_price="5", time_in_force="gtc")
    change = {"qty": "7", "limit_price": None, "stop_price": None, "time_in_force": "", "client_order_id": ""}

    _, new = broker.ask("PATCH", f"/v2/orders/{old['id']}", change)

    assert (new["qty"], new["limit_price"], new["time_in_force"]) == ("7", "5", "gtc")


def test_a_brackets_exit_can_be_replaced_and_still_cancels_the_other() -> None:
    broker = Broker()
    entry = _bracket(broker)
    profit = broker.look(entry)["legs"][0]
    status, nearer = broker.ask(
        "PATCH", f"/v2/orders/{profit['id']}", {"limit_price": str(broker.price("KO") - Decimal("0.05"))}
    )
    assert status == 200

    assert _statuses(broker.look(entry)) == ["filled", "filled", "canceled"]
    assert broker.look(entry)["legs"][0]["id"] == nearer["id"]
    assert broker.held("KO") == 0


def test_a_replaced_trailing_stop_keeps_its_best_price() -> None:
    broker = Broker()
    old = broker.place(symbol="GLD", side="sell", type="trailing_stop", qty="5", trail_price="20")
    broker.now = broker.first("GLD", 6, above=broker.price("GLD") + Decimal("0.3"))
    best = broker.look(old)["hwm"]
    broker.now = broker.first("GLD", 6, below=Decimal(best) - Decimal("0.2"))
    best = broker.look(old)["hwm"]

    status, new = broker.ask("PATCH", f"/v2/orders/{old['id']}", {"trail": "19"})

    assert status == 200
    assert Decimal(best) > broker.price("GLD")
    assert (broker.look(new)["hwm"], broker.look(new)["trail_price"]) == (best, "19")
    assert broker.look(old)["hwm"] == best


def test_a_replaced_stop_that_was_reached_waits_for_its_limit_only() -> None:
    broker = Broker()
    stop = broker.price("KO") + Decimal("0.05")
    old = broker.place(type="stop_limit", qty="10", stop_price=str(stop), limit_price="5")
    broker.now = broker.first("KO", 6, above=stop)
    assert broker.look(old)["status"] == "new"
    broker.now = broker.first("KO", 6, below=stop - Decimal("0.02"))

    _, new = broker.ask("PATCH", f"/v2/orders/{old['id']}", {"limit_price": str(broker.price("KO"))})

    assert broker.look(new)["status"] == "filled"


def test_a_replaced_exit_still_waits_for_the_entry() -> None:
    broker = Broker()
    entry = broker.place(
        type="limit",
        limit_price="5",
        qty="10",
        order_class="bracket",
        take_profit={"limit_price": "99"},
        stop_loss={"stop_price": "4"},
    )
    stop = entry["legs"][1]

    status, new = broker.ask("PATCH", f"/v2/orders/{stop['id']}", {"stop_price": "98"})
    broker.pass_time(seconds=60)

    assert (status, broker.look(new)["status"]) == (200, "held")
    assert _statuses(broker.look(entry)) == ["new", "held", "held"]


def test_a_replacement_takes_over_the_unfilled_quantity() -> None:
    broker = Broker()
    old = broker.place(type="limit", qty="1000", limit_price=str(broker.price("KO") + 1))
    done = Decimal(broker.look(old)["filled_qty"])
    assert 0 < done < 1000

    status, new = broker.ask("PATCH", f"/v2/orders/{old['id']}", {"limit_price": str(broker.price("KO") + 2)})
    broker.pass_time(seconds=5)

    assert (status, Decimal(new["qty"])) == (200, 1000 - done)
    assert (broker.look(new)["status"], broker.held("KO")) == ("filled", 1000)
