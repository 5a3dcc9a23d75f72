"""A value that cannot be printed."""

from typing import Never, final


@final
class Secret:
    """Holds a secret text; only `reveal()` gives it out.

    Nothing done to an object by accident (a log line, an f-string, a traceback with its locals,
    pickle, JSON, a comparison that a debugger shows) yields the value. `reveal()` is called only
    where a secret has to leave: for a request to Alpaca, for the vault, for its owner.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> Never:
        raise TypeError("a Secret is never pickled or copied")

    def __eq__(self, other: object) -> Never:
        raise TypeError("a Secret is never compared; compare keyed verifiers in constant time")

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # so that it is never a dict's key
