"""How many requests came, for whom and for what, and how many at once."""

from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

_OTHER = "other"
_KEY_IDS_COUNTED = 10_000  # further ones are counted together: a server that runs for months stays small


@dataclass(slots=True)
class _Tally:
    requests: int = 0
    in_flight: int = 0
    peak_concurrency: int = 0
    paths: Counter[str] = field(default_factory=Counter[str])

    def begin(self, path: str) -> None:
        self.requests += 1
        self.in_flight += 1
        self.peak_concurrency = max(self.peak_concurrency, self.in_flight)
        self.paths[path] += 1

    def begin_anew(self) -> None:
        self.requests = 0
        self.peak_concurrency = self.in_flight
        self.paths.clear()

    def document(self) -> dict[str, object]:
        return {"requests": self.requests, "peak_concurrency": self.peak_concurrency, "paths": dict(self.paths)}


class RequestCounts:
    """Shows only key ids that have the form of one and, for paths, the patterns of pages that exist: whatever
    else a client sends where these belong, its secret perhaps, is counted as "other".
    """

    def __init__(self) -> None:
        self._all = _Tally()
        self._by_key_id: defaultdict[str, _Tally] = defaultdict(_Tally)

    def reset(self) -> None:
        under_way = {key_id: tally for key_id, tally in self._by_key_id.items() if tally.in_flight}
        self._by_key_id = defaultdict(_Tally, under_way)
        for tally in (self._all, *under_way.values()):
            tally.begin_anew()

    @contextmanager
    def counting(self, key_id: str | None, pattern: str | None) -> Generator[None]:
        """Counts one request, as in flight for as long as the block runs. A path that leads nowhere has no pattern."""
        tallies = (self._all, self._tally_of(key_id))
        for tally in tallies:
            tally.begin(pattern or _OTHER)
        try:
            yield
        finally:
            for tally in tallies:
                tally.in_flight -= 1

    def document(self) -> dict[str, object]:
        by_key_id = {key_id: tally.document() for key_id, tally in self._by_key_id.items()}
        return {**self._all.document(), "key_ids": by_key_id}

    def _tally_of(self, key_id: str | None) -> _Tally:
        if key_id is None or (key_id not in self._by_key_id and len(self._by_key_id) >= _KEY_IDS_COUNTED):
            key_id = _OTHER
        return self._by_key_id[key_id]
