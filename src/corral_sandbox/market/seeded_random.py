"""Random numbers that follow from a seed."""

from hashlib import blake2b


def seeded_random(below: int, *made_for: str | int) -> int:
    """Returns an integer from 0 to `below` - 1, the same for the same `made_for` on every machine.

    Each number names its purpose, so that a number added later does not change the others.
    """
    words = "\x1f".join(map(str, made_for)).encode()
    return int.from_bytes(blake2b(words, digest_size=8).digest(), "big") % below
