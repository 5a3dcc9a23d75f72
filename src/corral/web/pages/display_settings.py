"""How this device shows the pages: the form of the settings, the switch that hides amounts, and the local zone."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from corral.edge.field_types import Body
from corral.edge.request_state import resources_of
from corral.errors import InvalidRequest
from corral.web.display import Density, Display, Theme, current_display, is_time_zone, keep_display
from corral.web.forms import Form, handle_form
from corral.web.page_user import PageUser, local_path, see_other
from corral.web.pages.settings import settings_page

router = APIRouter(prefix="/you", include_in_schema=False)

ZoneName = Annotated[str, Field(max_length=64)]


class DisplayForm(Body):
    """`device_zone` is the IANA name that the browser reports, which only its script knows."""

    theme: Theme
    density: Density
    zone: Literal["new_york", "local"]
    device_zone: ZoneName | None = None
    amounts: Literal["hidden"] | None = None

    def display(self) -> Display:
        """Raises InvalidRequest."""
        local_zone = _known_zone(self.device_zone) if self.zone == "local" else None
        return Display(self.theme, self.density, local_zone, self.amounts == "hidden")


class AmountsForm(Body):
    amounts: Literal["hidden", "shown"]


class ZoneForm(Body):
    device_zone: ZoneName


@router.post("/display")
async def save_display(user: PageUser, request: Request) -> Response:
    async def submit(body: DisplayForm) -> Response:
        return _keep(body.display(), "/you?saved=display", request)

    async def redisplay(form: Form) -> Response:
        return await settings_page(request, user, showing=form)

    return await handle_form(request, DisplayForm, submit, redisplay)


@router.post("/display/amounts")
async def switch_amounts(user: PageUser, request: Request) -> Response:
    """The switch on every page: returns to the page in `next`."""

    async def submit(body: AmountsForm) -> Response:
        display = replace(current_display(), hides_amounts=body.amounts == "hidden")
        return _keep(display, local_path(request.query_params.get("next")), request)

    async def redisplay(form: Form) -> Response:
        return await settings_page(request, user, showing=form)

    return await handle_form(request, AmountsForm, submit, redisplay)


@router.post("/display/zone")
async def update_local_zone(user: PageUser, request: Request) -> Response:
    """Called by the pages' script when a device that shows local time is in another zone than before."""

    async def submit(body: ZoneForm) -> Response:
        display, zone = current_display(), _known_zone(body.device_zone)
        return _keep(replace(display, local_zone=zone) if display.local_zone else display, "/you", request)

    async def redisplay(form: Form) -> Response:
        return await settings_page(request, user, showing=form)

    return await handle_form(request, ZoneForm, submit, redisplay)


def _known_zone(name: str | None) -> str:
    """Raises InvalidRequest."""
    if name is None or not is_time_zone(name):
        raise InvalidRequest("Local time isn't available: the browser's time zone is unknown.")
    return name


def _keep(display: Display, path: str, request: Request) -> Response:
    response = see_other(path)
    keep_display(display, resources_of(request).public_url, response)
    return response
