"""Confirms on the next page what a form has done: "Renamed.", "Account paused.".

The redirect sets a cookie with a code of a closed list, never a text. The page that shows it clears it.
"""

from enum import StrEnum
from typing import Final

from fastapi import Request
from fastapi.responses import Response

from corral.edge.middleware import reads_pages
from corral.edge.request_state import resources_of

_COOKIE_SECONDS: Final = 60  # a confirmation that is older says nothing new


class Done(StrEnum):
    RENAMED = "renamed"
    PAUSED = "paused"
    RESUMED = "resumed"
    KEY_REPLACED = "key-replaced"
    ACCOUNT_REMOVED = "account-removed"
    SIGNED_OUT = "signed-out"
    DEVICE_SIGNED_OUT = "device-signed-out"
    OTHERS_SIGNED_OUT = "others-signed-out"
    TOKEN_REVOKED = "token-revoked"  # noqa: S105 - no token
    TOKENS_REVOKED = "tokens-revoked"
    GRANT_CHANGED = "grant-changed"
    GRANT_RENEWED = "grant-renewed"
    GRANT_REVOKED = "grant-revoked"
    GRANTS_REVOKED = "grants-revoked"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - no password
    INVITATION_REVOKED = "invitation-revoked"
    MEMBER_DISABLED = "member-disabled"
    MEMBER_ENABLED = "member-enabled"


_TEXTS: Final = {
    Done.RENAMED: "Renamed.",
    Done.PAUSED: "Account paused.",
    Done.RESUMED: "Account resumed.",
    Done.KEY_REPLACED: "API key replaced.",
    Done.ACCOUNT_REMOVED: "Account removed.",
    Done.SIGNED_OUT: "You are signed out.",
    Done.DEVICE_SIGNED_OUT: "Signed out on that device.",
    Done.OTHERS_SIGNED_OUT: "Signed out on all other devices.",
    Done.TOKEN_REVOKED: "Token revoked.",
    Done.TOKENS_REVOKED: "All tokens revoked.",
    Done.GRANT_CHANGED: "Grant changed.",
    Done.GRANT_RENEWED: "Grant renewed.",
    Done.GRANT_REVOKED: "Grant revoked.",
    Done.GRANTS_REVOKED: "All grants revoked.",
    Done.PASSWORD_CHANGED: "Password changed. Sign in with the new one.",
    Done.INVITATION_REVOKED: "Invitation revoked.",
    Done.MEMBER_DISABLED: "Member disabled.",
    Done.MEMBER_ENABLED: "Member enabled.",
}


def confirm(request: Request, response: Response, done: Done) -> Response:
    """Lets the next page say what was done. Returns `response`."""
    _set_cookie(request, response, done.value, _COOKIE_SECONDS)
    return response


def pending_confirmation(request: Request) -> str | None:
    """Returns the text to show now. None for a script that follows the redirect, and for a page that is prefetched:
    the page that a person sees comes later.
    """
    code = request.cookies.get(_cookie_name(request))
    if code is None or not reads_pages(request.scope) or "prefetch" in request.headers.get("sec-purpose", ""):
        return None
    return next((text for done, text in _TEXTS.items() if done.value == code), None)


def forget_confirmation(request: Request, response: Response) -> None:
    """Clears the cookie, because the page shows its text."""
    _set_cookie(request, response, "", 0)


def _set_cookie(request: Request, response: Response, value: str, max_age: int) -> None:
    response.set_cookie(
        _cookie_name(request),
        value,
        max_age=max_age,
        path="/",
        secure=_is_https(request),
        httponly=True,
        samesite="lax",
    )


def _cookie_name(request: Request) -> str:
    """Bound to this host over https, like the session's cookie."""
    return "__Host-corral_done" if _is_https(request) else "corral_done"


def _is_https(request: Request) -> bool:
    return resources_of(request).public_url.startswith("https://")
