"""The endpoints beside Alpaca's API that tests use: the fault plan and the request counts.

/_faults      PUT a document (see `plan`), GET what is left of it, DELETE it
/_requests    GET the counts, PUT (without a body) to reset them
"""

from aiohttp import web

from corral_sandbox.errors import ApiError, EndpointNotFoundError, MethodNotAllowedError
from corral_sandbox.faults.plan import FaultPlan, FaultPlanError
from corral_sandbox.http.access import RequestCounts
from corral_sandbox.http.requests import Response


class ControlApi:
    """Serves programs only: requests of web pages, which carry an Origin, are refused."""

    def __init__(self, faults: FaultPlan, counts: RequestCounts) -> None:
        self._faults = faults
        self._counts = counts

    async def handle(self, request: web.BaseRequest, path: str) -> Response:
        if "Origin" in request.headers:
            raise ApiError(403, "a web page may not do this")
        if path == "/_faults":
            return await self._handle_faults(request)
        if path == "/_requests":
            return self._handle_requests(request.method)
        raise EndpointNotFoundError

    async def _handle_faults(self, request: web.BaseRequest) -> Response:
        if request.method == "PUT":
            try:
                self._faults.replace(await request.read())
            except FaultPlanError as rejected:
                raise ApiError(400, str(rejected)) from None
        elif request.method == "DELETE":
            self._faults.clear()
        elif request.method != "GET":
            raise MethodNotAllowedError(["GET", "PUT", "DELETE"])
        return Response(200, self._faults.document())

    def _handle_requests(self, method: str) -> Response:
        if method == "PUT":
            self._counts.reset()
        elif method != "GET":
            raise MethodNotAllowedError(["GET", "PUT"])
        return Response(200, self._counts.document())
