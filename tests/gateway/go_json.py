"""JSON as Go's encoding/json reads it into a struct, which is how Alpaca may read what the gateway sends.

It takes the first value and ignores what follows, takes names in any case (also the long s for "s" and the Kelvin sign
for "k"), takes of two names the last, reads an object that comes twice into the one that is there, ignores unknown
names, and leaves out null.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

# The fields of a struct: None for a plain one, a list for an array of structs.
Struct = Mapping[str, "Struct | list[Struct] | None"]

_EXITS: Final[Struct] = {"stop_price": None, "limit_price": None}
_ADVANCED: Final[Struct] = dict.fromkeys(
    ("algorithm", "destination", "display_qty", "max_percentage", "start_time", "end_time")
)
ORDER: Final[Struct] = {
    **dict.fromkeys(("symbol", "qty", "notional", "side", "type", "time_in_force", "limit_price", "stop_price")),
    **dict.fromkeys(("trail_price", "trail_percent", "extended_hours", "client_order_id", "order_class")),
    "position_intent": None,
    "take_profit": {"limit_price": None},
    "stop_loss": _EXITS,
    "legs": [dict.fromkeys(("symbol", "ratio_qty", "side", "position_intent"))],
    "advanced_instructions": _ADVANCED,
}


def as_go_reads(content: bytes, struct: Struct) -> dict[str, Any]:
    """Returns the fields that are set, with numbers as they were written. Raises ValueError and TypeError."""
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs, parse_float=str, parse_int=str)
    value, _ = decoder.raw_decode(content.decode().lstrip(" \t\r\n"))
    return _fill({}, value, struct)


class _Pairs(list[tuple[str, Any]]):
    """An object with its names in order, as often as they come."""


def _fill(known: dict[str, Any], value: object, struct: Struct) -> dict[str, Any]:
    if not isinstance(value, _Pairs):
        raise TypeError("not an object")
    folded = {_fold(name): name for name in struct}
    for given, content in value:
        name = given if given in struct else folded.get(_fold(given))
        if name is None:
            continue
        if content is None:
            known.pop(name, None)
        else:
            known[name] = _read(known.get(name), content, struct[name])
    return known


def _read(known: Any, content: Any, struct: "Struct | list[Struct] | None") -> Any:  # noqa: ANN401 - JSON
    if struct is None:
        return content
    if isinstance(struct, list):
        return tuple(_fill({}, item, struct[0]) for item in cast("list[Any]", content))
    return _fill(known or {}, content, struct)


def _fold(name: str) -> str:
    return name.replace("ſ", "s").replace("\u212a", "k").lower()  # noqa: RUF001 - that is the letter
