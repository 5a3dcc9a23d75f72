"""The chain: each entry's canonical text, and a keyed hash over it and the hash of the entry before.

The canonical text is JSON in UTF-8, without white space, names in alphabetical order and without members that have no
value. Times are UTC with microseconds and `Z`, all other values are strings but for `seq`, `concludes` and `v`, the
version of this form, which are integers. The text is stored as it was hashed, and never written anew from its parts.

    mac = PRF("corral/verifier/v1", "audit_entry", user id, seq, mac of the entry before in hex, text)

The PRF is the keyring's HMAC-SHA256, and each part follows its length (`corral.vault.seal.framed`). Whoever can write
to the database but has no keyring cannot compute it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from uuid import UUID

import orjson

from corral.audit.models import LONGEST_DETAIL, LONGEST_OBJECT_ID, MOST_DETAILS, AuditEntry, Head, Link, NewEntry
from corral.vault import Vault

EMPTY: Final = Head(0, b"")
_VERSION: Final = 1
_PURPOSE: Final = "audit_entry"
_LONGEST_NAME: Final = 40


def extend_chain(
    vault: Vault, user_id: UUID, head: Head, moment: datetime, entries: Sequence[NewEntry]
) -> Iterator[Link]:
    """Yields the links of these entries, which follow the head in this order."""
    for seq, entry in enumerate(entries, head.seq + 1):
        body = canonical_text(user_id, seq, moment, entry)
        link = Link(seq, body, vault.verifier(_PURPOSE, *_bound(user_id, seq, head.mac, body)))
        yield link
        head = Head(seq, link.mac)


def follows(vault: Vault, user_id: UUID, previous: bytes, link: Link) -> bool:
    """Whether this is the entry that was added after the one with the mac `previous`, unchanged."""
    return vault.verify(link.mac, _PURPOSE, *_bound(user_id, link.seq, previous, link.body))


def _bound(user_id: UUID, seq: int, previous: bytes, body: str) -> tuple[str, ...]:
    return str(user_id), str(seq), previous.hex(), body


def canonical_text(user_id: UUID, seq: int, moment: datetime, entry: NewEntry) -> str:
    members: dict[str, object] = {
        "v": _VERSION,
        "user_id": str(user_id),
        "seq": seq,
        "at": f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        "actor": str(entry.actor),
        "action": str(entry.action),
        "result": entry.result.value,
        "credential_id": str(entry.credential_id) if entry.credential_id else None,
        "grant_id": str(entry.grant_id) if entry.grant_id else None,
        "object_id": _plain(entry.object_id or "", LONGEST_OBJECT_ID),
        "details": _plain_details(entry.details),
        "address": _plain(entry.address, LONGEST_DETAIL),
        "concludes": entry.concludes,
    }
    present = {name: value for name, value in members.items() if value not in (None, "", {})}
    return orjson.dumps(present, option=orjson.OPT_SORT_KEYS).decode()


def read_text(body: str) -> AuditEntry:
    """Raises ValueError or KeyError for a text that Corral has not written."""
    members: dict[str, Any] = orjson.loads(body)
    credential_id, grant_id = members.get("credential_id"), members.get("grant_id")
    return AuditEntry(
        user_id=UUID(members["user_id"]),
        seq=members["seq"],
        at=datetime.fromisoformat(members["at"]),
        actor=members["actor"],
        action=members["action"],
        result=members["result"],
        credential_id=UUID(credential_id) if credential_id else None,
        grant_id=UUID(grant_id) if grant_id else None,
        object_id=members.get("object_id"),
        details=members.get("details", {}),
        address=members.get("address", ""),
        concludes=members.get("concludes"),
    )


def _plain_details(details: Mapping[str, str]) -> dict[str, str]:
    return {
        _plain(name, _LONGEST_NAME): _plain(value, LONGEST_DETAIL)
        for name, value in islice(details.items(), MOST_DETAILS)
    }


def _plain(text: str, longest: int) -> str:
    """Without control characters and halves of characters, which PostgreSQL and JSON do not take."""
    plain = text if text.isprintable() else "".join(filter(str.isprintable, text))
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"
