"""What goes over the trading socket, as Alpaca writes it: JSON, in frames of bytes."""

import orjson

from corral_sandbox.book import Event
from corral_sandbox.moments import in_utc
from corral_sandbox.money import in_writing
from corral_sandbox.order_document import order_document

TRADE_UPDATES = "trade_updates"


def authorization(action: str, *, is_authorized: bool) -> bytes:
    status = "authorized" if is_authorized else "unauthorized"
    return orjson.dumps({"stream": "authorization", "data": {"status": status, "action": action}})


def listening(streams: list[str]) -> bytes:
    return orjson.dumps({"stream": "listening", "data": {"streams": streams}})


def error(message: str) -> bytes:
    return orjson.dumps({"action": "error", "data": {"error_message": message}})


def trade_update(event: Event, *, name: str | None = None) -> bytes:
    """Answers what is told of an event, under another name if one is given. Legs are told on their own."""
    data = {
        "event": name or event.name,
        "timestamp": in_utc(event.at),
        **_execution(event),
        "order": {**order_document(event.order), "legs": None},
    }
    return orjson.dumps({"stream": TRADE_UPDATES, "data": data})


def _execution(event: Event) -> dict[str, object]:
    if event.execution is None:
        return {}
    return {
        "execution_id": event.execution.id,
        "price": in_writing(event.execution.price),
        "qty": in_writing(abs(event.execution.quantity)),
        "position_qty": in_writing(event.position),
    }
