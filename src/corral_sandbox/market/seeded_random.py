"""Choices that look random and follow from what they are made for."""

from hashlib import blake2b


def seeded_random(below: int, *made_for: str | int) -> int:
    """Returns an integer from 0 to `below` - 1, the same for the same `made_for` on every machine.

    Each choice names what it is for, so that a choice added later leaves all others as they were.
    """
    words = "\x1f".join(map(str, made_for)).encode()
    return int.from_bytes(blake2b(words, digest_size=8).digest(), "big") % below
