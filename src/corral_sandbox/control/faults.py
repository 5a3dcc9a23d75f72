"""`/_faults`: PUT a fault plan (see `faults.plan`), GET what is left of it, DELETE it."""

from collections.abc import Callable

from aiohttp import web

from corral_sandbox.control.routes import refuse_rest
from corral_sandbox.errors import ApiError, MethodNotAllowedError
from corral_sandbox.faults.plan import FaultPlan, FaultPlanError
from corral_sandbox.http.requests import Document


class FaultsControl:
    def __init__(self, clear: Callable[[], None], faults: FaultPlan) -> None:
        self._clear = clear
        self._faults = faults

    async def handle(self, request: web.BaseRequest, rest: str) -> Document:
        refuse_rest(rest)
        if request.method == "PUT":
            try:
                self._faults.replace(await request.read())
            except FaultPlanError as rejected:
                raise ApiError(400, str(rejected)) from None
        elif request.method == "DELETE":
            self._clear()
        elif request.method != "GET":
            raise MethodNotAllowedError(["GET", "PUT", "DELETE"])
        return self._faults.document()
