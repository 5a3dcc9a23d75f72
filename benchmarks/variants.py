"""The measured variants, each on its own newly started server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.accounts import Fixture
from benchmarks.load import Question, Window
from benchmarks.servers import CONSTANT, Kind

_WINDOW: Final = Window(warm_up=2, measured=5)
# At ten requests a second, 64 clients wait six seconds for their first answers: the steady state comes later.
_SLOW_WINDOW: Final = Window(warm_up=8, measured=10)


@dataclass(frozen=True, slots=True)
class Variant:
    """`fresh_within_seconds` is how old `last_updated` may be on arrival: the plan's answers wait for the loop."""

    title: str
    kind: Kind
    clients: int = 64
    cache_seconds: float = 0
    window: Window = _WINDOW
    fresh_within_seconds: float | None = 2.0


VARIANTS: Final[Mapping[str, Variant]] = {
    "a": Variant("(a) the plan: SDK in async def", "plan", window=_SLOW_WINDOW, fresh_within_seconds=20),
    "a'": Variant("(a') the same, SDK in a thread", "plan_in_thread", fresh_within_seconds=10),
    "b64": Variant("(b) Corral, distinct accounts", "corral"),
    "b400": Variant("(b) Corral, distinct accounts", "corral", clients=400),
    "c": Variant("(c) Corral, one account, shared", "corral", cache_seconds=1),
    "d": Variant("(d) a constant, bare ASGI", "constant", fresh_within_seconds=None),
}


def questions_of(variant: Variant, fixture: Fixture) -> list[Question]:
    if variant.kind == "constant":
        return [Question(path="/", token="none", expected=CONSTANT.decode())]
    return fixture.accounts[:1] if variant.cache_seconds else fixture.accounts
