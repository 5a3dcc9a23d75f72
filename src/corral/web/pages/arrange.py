"""The page on which people arrange their accounts: the order, pins and groups. It needs no script."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response

from corral.credentials import arrangement
from corral.credentials.models import Placement
from corral.edge.field_types import Body, GroupName
from corral.edge.request_state import resources_of
from corral.errors import InvalidRequest
from corral.identity.models import AuthUser
from corral.web.forms import Form, handle_form, initial_form
from corral.web.page_user import PageUser, see_other
from corral.web.rendering import render_page

router = APIRouter(include_in_schema=False)

Action = Literal["up", "down", "pin", "unpin", "group"]


class ArrangeForm(Body):
    """An account and what to do with it. `pin` and `unpin` name an account of the home page."""

    account: UUID | None = None
    action: Action | None = None
    group: GroupName = ""
    pin: UUID | None = None
    unpin: UUID | None = None


@router.get("/arrange")
async def show_arrangement(user: PageUser, request: Request, account: str = "", done: str = "") -> Response:
    """`account` and `done` say what has just been done, so that the same button has the focus again. A fragment of the
    URL would prevent that.
    """
    return await _page(user, request, initial_form(), account, done)


@router.post("/arrange")
async def arrange(user: PageUser, request: Request) -> Response:
    async def submit(body: ArrangeForm) -> Response:
        if pinned := body.pin or body.unpin:
            placement = Placement(is_pinned=body.pin is not None)
            await arrangement.place_account(user, resources_of(request).database, pinned, placement)
            return see_other("/#accounts")
        if body.account is None or body.action is None:
            raise InvalidRequest("Choose an account and what to do with it.")
        await _arrange(user, request, body.account, body.action, body.group)
        return see_other(f"/arrange?account={body.account}&done={body.action}")

    async def redisplay(form: Form) -> Response:
        return await _page(user, request, form)

    return await handle_form(request, ArrangeForm, submit, redisplay)


async def _arrange(user: AuthUser, request: Request, account: UUID, action: Action, group: str) -> None:
    database = resources_of(request).database
    if action in {"up", "down"}:
        await arrangement.move_account(user, database, account, "up" if action == "up" else "down")
    elif action == "group":
        await arrangement.place_account(user, database, account, Placement(group=group))
    else:
        await arrangement.place_account(user, database, account, Placement(is_pinned=action == "pin"))


async def _page(user: AuthUser, request: Request, form: Form, account: str = "", done: str = "") -> Response:
    arranged = await arrangement.load_arrangement(user.id, resources_of(request).database)
    credentials = [one.credential for one in arranged.accounts]
    return render_page(
        request,
        "arrange.html",
        user=user,
        status=form.status,
        form=form,
        credentials=credentials,
        groups=sorted({one.group for one in credentials if one.group}, key=str.casefold),
        account=account,
        done=done,
    )
