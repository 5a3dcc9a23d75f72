"""Field types of requests: bounded, without control characters, secrets as Secret."""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from corral.secret import Secret

# Invisible characters that copying from a page, an email or a table adds.
_BLANKS: Final = {
    " ": "a space",
    "\t": "a tab",
    "\n": "a line break",
    "\v": "a line break",
    "\f": "a line break",
    "\r": "a line break",
    "\u00a0": "a no-break space (U+00A0)",
    "\u200b": "a zero-width space (U+200B)",
    "\u200c": "a zero-width non-joiner (U+200C)",
    "\u200d": "a zero-width joiner (U+200D)",
    "\u2060": "a word joiner (U+2060)",
    "\ufeff": "a byte order mark (U+FEFF)",
}

# The maximum length of an address (RFC 5321).
LONGEST_EMAIL = 254
LONGEST_SECRET = 1024

# By which a key pair of Corral's own is recognized, above all where Alpaca's belongs.
GRANT_KEY_ID_PREFIX: Final = "CG"
GRANT_SECRET_PREFIX: Final = "corral_grant_"  # noqa: S105 - how every one begins


def canonical_email(text: str) -> str:
    """Returns the canonical form of an address, in which users are stored, found and throttled.

    One function for all three: if two folded a name differently, one of them could be bypassed. It
    is idempotent, so normalization comes last, because case folding decomposes letters.
    Raises ValueError for an invalid address.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    email = unicodedata.normalize("NFKC", folded).strip()
    local, at, domain = email.rpartition("@")
    if not (local and at and domain) or len(email) > LONGEST_EMAIL or not _is_printable_word(email):
        raise ValueError("Enter a valid email address.")
    return email


def _is_printable_word(text: str) -> bool:
    return text.isprintable() and not any(character.isspace() for character in text)


def _without_control_characters(text: str) -> str:
    if not text.isprintable():
        raise ValueError("Remove control characters and line breaks.")
    return text


def _to_secret(value: object) -> Secret:
    # The message never contains the value.
    if not isinstance(value, str):
        raise ValueError("Enter a text.")  # noqa: TRY004 - pydantic turns ValueError into a field's error
    if not 1 <= len(value) <= LONGEST_SECRET:
        raise ValueError(f"Enter 1 to {LONGEST_SECRET:,} characters.")
    if _has_half_a_character(value):
        raise ValueError("This text is not valid Unicode.")
    return Secret(value)


_OF_CORRAL: Final = "This key belongs to a Corral grant. Enter your Alpaca API key."
# Alpaca's key IDs begin with PK or AK, but its secrets with anything: only a whole key ID of a grant is none of them.
_GRANT_AS_KEY_ID: Final = re.compile(f"{GRANT_KEY_ID_PREFIX}|{GRANT_SECRET_PREFIX}")
_GRANT_AS_SECRET: Final = re.compile(f"{GRANT_KEY_ID_PREFIX}[A-Z2-7]{{24}}\\Z|{GRANT_SECRET_PREFIX}")


def _pasted_key(name: str, grant: re.Pattern[str]) -> Callable[[object], Secret]:
    """Validates a part of an Alpaca key pair; `name` is its label on pages. Strips surrounding whitespace.

    Everything but visible ASCII is rejected here, because Alpaca would only report an unknown key, and so is what
    matches `grant`: Corral's own substitute for such a key.
    """

    def to_key(value: object) -> Secret:
        if not isinstance(value, str):
            return _to_secret(value)
        key = value.strip("".join(_BLANKS))
        if not key:
            raise PydanticCustomError("key_missing", "Enter the {key_part}.", {"key_part": name})
        if grant.match(key):
            raise PydanticCustomError("key_of_corral", _OF_CORRAL)
        if wrong := next((character for character in key if not "!" <= character <= "~"), None):
            context = {"key_part": name, "character": _kind_of(wrong)}
            raise PydanticCustomError("key_character", "The {key_part} contains {character}. Copy it again.", context)
        return _to_secret(key)

    return to_key


def _kind_of(character: str) -> str:
    """Describes a character without repeating what could be part of a key."""
    if named := _BLANKS.get(character):
        return named
    if unicodedata.category(character) == "Cf":
        return "an invisible character"
    if unicodedata.category(character).startswith("Z"):
        return "a space that is not an ASCII space"
    if unicodedata.category(character) == "Cc":
        return "a control character"
    return "a character that is not ASCII"


def _has_half_a_character(text: str) -> bool:
    """JSON can contain an escaped lone surrogate, which cannot be encoded."""
    return any("\ud800" <= character <= "\udfff" for character in text)


Email = Annotated[
    str,
    StringConstraints(min_length=3, max_length=LONGEST_EMAIL),
    AfterValidator(canonical_email),
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_without_control_characters),
]
GroupName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=60),
    AfterValidator(_without_control_characters),
]
_SECRET_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "format": "password", "writeOnly": True, "minLength": 1, "maxLength": LONGEST_SECRET}
)
SecretText = Annotated[Secret, PlainValidator(_to_secret), _SECRET_SCHEMA]
KeyIdText = Annotated[Secret, PlainValidator(_pasted_key("key ID", _GRANT_AS_KEY_ID)), _SECRET_SCHEMA]
KeySecretText = Annotated[Secret, PlainValidator(_pasted_key("secret", _GRANT_AS_SECRET)), _SECRET_SCHEMA]


def in_utc(moment: datetime) -> datetime:
    """Returns the time in UTC; the end of the year 9999 for PostgreSQL's `infinity`.

    Corral never writes `infinity`. It has no time zone and cannot be converted.
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _to_iso(moment: datetime) -> str:
    return in_utc(moment).isoformat(timespec="microseconds").replace("+00:00", "Z")


_DURATION: Final = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_duration(text: object) -> timedelta | None:
    """Returns `90m`, `12h`, `30d` or `8w` as a duration, which may be 0; None for anything else."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return int(found[1]) * _UNITS[found[2]] if found else None


def _in_the_future(moment: datetime) -> datetime:
    try:
        future = in_utc(moment)
    except OverflowError:  # the last hours of 9999 west of Greenwich, the first ones of the year 1 east of it
        raise ValueError("Enter a time before the year 10000.") from None
    if future <= datetime.now(UTC):
        raise ValueError("Enter a time in the future.")
    return future


# ISO 8601 in UTC with `Z` and microseconds, always of one length.
UtcTime = Annotated[
    datetime,
    PlainSerializer(_to_iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
FutureTime = Annotated[AwareDatetime, AfterValidator(_in_the_future)]


class Body(BaseModel):
    """The base of request bodies. Unknown fields are rejected, so that a typo is noticed."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
