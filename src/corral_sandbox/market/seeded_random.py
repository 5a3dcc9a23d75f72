"""Random numbers that follow from a seed."""

from hashlib import blake2b


def seeded_random(below: int, *made_for: str | int) -> int:
    """Returns an integer from 0 to `below` - 1, the same for the same `made_for` on every machine.

    Each number names its purpose, so that a number added later does not change the others.
    """
    words = "\x1f".join(map(str, made_for)).encode()
    return int.from_bytes(blake2b(words, digest_size=8).digest(), "big") % below


class SeededSeries:
    """Numbers that differ in the last thing they are made for; the rest is hashed only once."""

    def __init__(self, *made_for: str | int) -> None:
        self._hash = blake2b("".join(f"{word}\x1f" for word in made_for).encode(), digest_size=8)

    def number(self, below: int, index: int) -> int:
        """Returns the same as `seeded_random(below, *made_for, index)`."""
        hash_ = self._hash.copy()
        hash_.update(b"%d" % index)
        return int.from_bytes(hash_.digest(), "big") % below
