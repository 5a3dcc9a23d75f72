"""Alice and Bob, and their headers."""

from datetime import datetime

from corral_sandbox import secret_of

ALICE, ALICE_LIVE = "PKALICE00001", "AKALICE00001"
BOB = "PKBOB0000001"


def keys_of(key_id: str) -> dict[str, str]:
    return {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}


def nanoseconds(moment: str) -> int:
    """Converts an ISO 8601 timestamp with an offset."""
    return int(datetime.fromisoformat(moment).timestamp()) * 1_000_000_000
