"""What tests ask of the sandbox beside Alpaca's API: faults, and counts of the requests that came.

/_faults      PUT a document (see `faults`), GET what is left of it, DELETE it
/_requests    GET the counts, PUT (without a body) to begin anew
"""

from aiohttp import web

from corral_sandbox.answers import Answer, EndpointNotFound, MethodNotAllowed, Refused
from corral_sandbox.faults import Faults, FaultsRejected
from corral_sandbox.request_counts import RequestCounts


class Control:
    """Serves programs only: a browser's page says where it comes from, and is refused."""

    def __init__(self, faults: Faults, counts: RequestCounts) -> None:
        self._faults = faults
        self._counts = counts

    async def answer(self, request: web.BaseRequest, path: str) -> Answer:
        if "Origin" in request.headers:
            raise Refused(403, "a web page may not do this")
        if path == "/_faults":
            return await self._answer_faults(request)
        if path == "/_requests":
            return self._answer_requests(request.method)
        raise EndpointNotFound

    async def _answer_faults(self, request: web.BaseRequest) -> Answer:
        if request.method == "PUT":
            try:
                self._faults.replace(await request.read())
            except FaultsRejected as rejected:
                raise Refused(400, str(rejected)) from None
        elif request.method == "DELETE":
            self._faults.clear()
        elif request.method != "GET":
            raise MethodNotAllowed(["GET", "PUT", "DELETE"])
        return Answer(200, self._faults.document())

    def _answer_requests(self, method: str) -> Answer:
        if method == "PUT":
            self._counts.reset()
        elif method != "GET":
            raise MethodNotAllowed(["GET", "PUT"])
        return Answer(200, self._counts.document())
