"""`/_requests`: GET the counts of requests, PUT or DELETE to begin anew. `/_requests/{key_id}?after=N`: GET what a key
sent and got, from number N + 1 on.
"""

from aiohttp import web

from corral_sandbox.errors import ApiError, MethodNotAllowedError
from corral_sandbox.http.access import RequestCounts, is_key_id
from corral_sandbox.http.journal import Journal
from corral_sandbox.http.requests import Document

_LONGEST_NUMBER = 18  # digits


class RequestsControl:
    def __init__(self, counts: RequestCounts, journal: Journal) -> None:
        self._counts = counts
        self._journal = journal

    async def handle(self, request: web.BaseRequest, rest: str) -> Document:
        if rest:
            return self._read_journal(request, rest.removeprefix("/"))
        if request.method in {"PUT", "DELETE"}:
            self.reset()
        elif request.method != "GET":
            raise MethodNotAllowedError(["GET", "PUT", "DELETE"])
        return self._counts.document()

    def reset(self) -> None:
        self._counts.reset()
        self._journal.clear()

    def _read_journal(self, request: web.BaseRequest, key_id: str) -> Document:
        if request.method != "GET":
            raise MethodNotAllowedError(["GET"])
        if not is_key_id(key_id):
            raise ApiError(400, f"{key_id} is not a key id of the sandbox: PK or AK, and 6 to 38 of A to Z and 0 to 9")
        query = request.rel_url.query
        if unknown := set(query) - {"after"}:
            raise ApiError(400, f"{min(unknown)} is not a parameter here, only after")
        return {"items": self._journal.documents(key_id, _number(query.get("after", "0")))}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise ApiError(400, f"after is the n of the last request that you have seen, not {text}")
    return int(text)
