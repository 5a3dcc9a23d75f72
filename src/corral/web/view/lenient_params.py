"""Query parameters of pages. A link may be typed, cut off or outdated: its page ignores what is wrong, and says so."""

from collections.abc import Mapping
from typing import Final, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

# As the fields and links of the pages are called. Other parameters are ignored without a word.
_NAMES: Final[Mapping[str, str]] = {
    "account": "account",
    "asset": "asset class",
    "cursor": "page",
    "direction": "sort order",
    "grant": "grant",
    "group": "kind of action",
    "kind": "type",
    "order_id": "order",
    "side": "side",
    "since": "“From”",
    "sort": "sort order",
    "span": "period",
    "status": "status",
    "symbol": "symbol",
    "to": "“To”",
    "type": "type",
}


class LenientParams(BaseModel):
    """Invalid and unknown parameters have their defaults. `STRICT` as the context of a validation rejects them."""

    model_config = ConfigDict(extra="forbid")

    _ignored: list[str] = PrivateAttr(default_factory=list)

    @property
    def ignored_text(self) -> str:
        """What to tell, or nothing: `The status and “From” in this link are invalid, so they are ignored.`."""
        names = list(dict.fromkeys(_NAMES[name] for name in self._ignored if name in _NAMES))
        if not names:
            return ""
        if len(names) == 1:
            return f"The {names[0]} in this link is invalid, so it is ignored."
        return f"The {', '.join(names[:-1])} and {names[-1]} in this link are invalid, so they are ignored."

    @model_validator(mode="wrap")
    @classmethod
    def _ignore_what_is_invalid(
        cls,
        values: object,
        handler: ModelWrapValidatorHandler[Self],
        info: ValidationInfo,
    ) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
            if info.context is STRICT or not isinstance(values, Mapping):
                raise
        given = cast("Mapping[str, object]", values)
        params = handler({name: value for name, value in given.items() if name not in wrong})
        params._ignored = sorted(wrong)  # noqa: SLF001 - its own
        return params


STRICT: Final = {"strict": True}
