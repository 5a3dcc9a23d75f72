"""HTML forms, with and without JavaScript: parsed into the API's models, and shown again when they are rejected.

A form posts to the URL of its own page. When it is accepted, the response is a 303. When it is rejected, a browser
gets the page again with the errors and all values except secrets, and a script gets problem+json.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from corral.edge.error_handlers import invalid_request
from corral.edge.field_types import Body
from corral.edge.middleware import reads_pages
from corral.errors import InvalidRequest, MalformedRequest, Problem, UnsupportedMediaType
from corral.identity.models import AuthUser
from corral.identity.problems import Unauthenticated
from corral.secret import Secret
from corral.vault import Vault
from corral.web.page_user import sign_in_required

MAX_FIELDS: Final = 64
MEDIA_TYPE: Final = "application/x-www-form-urlencoded"

_REQUIRED: Final[Mapping[str, str]] = {
    "nickname": "Enter a name.",
    "name": "Enter a name.",
    "email": "Enter an email address.",
    "password": "Enter a password.",
    "current_password": "Enter your password.",
    "new_password": "Enter a new password.",
    "token": "Enter the link or code.",
    "api_key": "Enter the key ID.",
    "secret_key": "Enter the secret.",
    "scopes": "Select at least one permission.",
    "days": "Select an expiration.",
    "expires_in": "Select an expiration.",
    "access": "Select what it may do.",
}
_INVALID: Final[Mapping[str, str]] = {"email": "Enter a valid email address."}
_BY_TYPE: Final[Mapping[str, str]] = {
    "literal_error": "Select one of the options.",
    "enum": "Select one of the options.",
    "extra_forbidden": "This form has no such field.",
}

_OTHERWISE: Final = "Check this value."

# Problems that one field can cause, and its name: the first that the form has.
_FIELDS_BY_CODE: Final[Mapping[str, tuple[str, ...]]] = {
    "sign_in_refused": ("current_password",),
    "link_refused": ("token",),
    "password_too_weak": ("new_password", "password"),
    "email_taken": ("email",),
    "nickname_differs": ("nickname",),
}
_WITH_ERRORS: Final = _REQUIRED.keys() - {"days"}  # pages show an error of these at the field

FormData = dict[str, list[str]]
Model = TypeVar("Model", bound=Body)


class EmptyForm(Body):
    """A form that is only a button."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a page shows in its form: initial values, or the submitted ones and why they were rejected."""

    problem: Problem | None
    values: Mapping[str, list[str]]
    errors: Mapping[str, str]  # by field

    @property
    def status(self) -> int:
        return self.problem.status if self.problem else 200

    @property
    def is_explained(self) -> bool:
        """Whether all that is wrong is shown at the fields."""
        is_brief = self.problem is not None and self.problem.retry_after is None
        return is_brief and bool(self.errors) and self.errors.keys() <= _WITH_ERRORS

    def value(self, field: str, default: str = "") -> str:
        return self.values.get(field, [default])[0]


Redisplay = Callable[[Form], Awaitable[Response]]


def initial_form(**values: str) -> Form:
    """A form as it is first shown."""
    return Form(None, {name: [value] for name, value in values.items()}, {})


def id_of_form(vault: Vault, purpose: str, user: AuthUser, once: UUID) -> UUID:
    """The id of what a form creates: the same for the same form, and one that the sender cannot choose.

    `once` is a new id each time the form is shown, so that submitting it twice creates one thing.
    """
    return UUID(bytes=vault.verifier(purpose, str(user.id), str(once))[:16], version=4)


async def handle_form(
    request: Request,
    model: type[Model],
    submit: Callable[[Model], Awaitable[Response]],
    redisplay: Redisplay,
) -> Response:
    """Parses the form and passes it to `submit`. If that raises a Problem, `redisplay` shows the page with it."""
    data = await read_form(request)
    try:
        return await submit(parse_form(model, data))
    except Problem as problem:
        _name_field(problem, model)
        if not reads_pages(request.scope):
            raise
        if isinstance(problem, Unauthenticated):  # the session ended before the form arrived
            raise sign_in_required(request, problem) from None
        response = await redisplay(Form(problem, _without_secrets(model, data), _errors_by_field(problem)))
        if problem.retry_after is not None:
            response.headers["retry-after"] = str(problem.retry_after)
        return response


async def read_form(request: Request) -> FormData:
    """Returns the fields that are not empty; the edge limits their length.

    Raises UnsupportedMediaType, MalformedRequest.
    """
    body = await request.body()
    if not body:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send the form as {MEDIA_TYPE}.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise MalformedRequest("The form could not be read.") from None
    data: FormData = {}
    for name, value in pairs:
        if value:
            data.setdefault(name, []).append(value)
    return data


def parse_form(model: type[Model], data: FormData) -> Model:
    """Raises InvalidRequest with the errors by field, also for a field that the form does not have."""
    try:
        return model.model_validate({name: _value(model, name, values) for name, values in data.items()})
    except ValidationError as error:
        raise _invalid_form(error) from None


def _name_field(problem: Problem, model: type[Body]) -> None:
    """Lets the problem be shown at the field that caused it, if there is one. The API's body has the same fields."""
    errors: Any = problem.extra.get("errors", ())
    for error in errors:
        error["loc"] = error["loc"][1:] if error["loc"][:1] == ["body"] else error["loc"]
    field = next((name for name in _FIELDS_BY_CODE.get(problem.code, ()) if name in model.model_fields), None)
    if field is not None and problem.retry_after is None:
        problem.extra["errors"] = [{"loc": [field], "msg": problem.detail}]


def _invalid_form(error: ValidationError) -> InvalidRequest:
    """The API's errors, with texts for the reader of a form."""
    details = error.errors()
    problem = invalid_request(details)
    described: Any = problem.extra["errors"]
    for entry, detail in zip(described, details, strict=True):
        is_ours = detail["type"] == "value_error" or "url" not in detail  # pydantic's own have the URL of their page
        entry["msg"] = _message(detail) or (entry["msg"] if is_ours else _OTHERWISE)
    return problem


def _message(detail: ErrorDetails) -> str | None:
    """Returns None where there is no text for the field."""
    field = str(detail["loc"][0]) if detail["loc"] else ""
    limits = detail.get("ctx", {})
    match detail["type"]:
        case "missing" | "too_short":
            return _REQUIRED.get(field)
        case "string_too_short" | "string_too_long" | "value_error" if field in _INVALID:
            return _INVALID[field]
        case "string_too_short":
            return _REQUIRED.get(field)
        case "string_too_long":
            return f"Enter at most {limits.get('max_length')} characters."
        case other:
            return _BY_TYPE.get(other)


def _value(model: type[Body], name: str, values: list[str]) -> str | list[str]:
    if name in model.model_fields and _contains_type(model.model_fields[name].annotation, list):
        return values
    if len(values) > 1:
        raise MalformedRequest("A field appears more than once.")
    return values[0]


def _without_secrets(model: type[Body], data: FormData) -> FormData:
    shown = {name for name, field in model.model_fields.items() if not _contains_type(field.annotation, Secret)}
    return {name: values for name, values in data.items() if name in shown}


def _contains_type(annotation: Any, wanted: type) -> bool:  # noqa: ANN401 - a type, or a construct of typing
    origin = getattr(annotation, "__origin__", annotation)
    return origin is wanted or any(_contains_type(part, wanted) for part in get_args(annotation))


def _errors_by_field(problem: Problem) -> dict[str, str]:
    errors: Any = problem.extra.get("errors", ())
    return {str(error["loc"][0]): str(error["msg"]) for error in errors if error["loc"]}
