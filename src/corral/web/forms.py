"""Forms, with and without JavaScript: read into the models that the API takes, and shown again when refused.

A form posts to the address of its own page. Taken, it is answered with 303; refused, a browser gets the
page again with what was wrong and all that was filled in but secrets, and a script gets problem+json.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError

from corral.edge.edge import reads_pages
from corral.edge.error_handlers import invalid_request
from corral.edge.field_types import Body
from corral.errors import MalformedRequest, Problem, UnsupportedMediaType
from corral.identity.problems import Unauthenticated
from corral.secret import Secret
from corral.web.visitors import signed_out

MOST_FIELDS: Final = 64
MEDIA_TYPE: Final = "application/x-www-form-urlencoded"

Sent = dict[str, list[str]]
Model = TypeVar("Model", bound=Body)


class Button(Body):
    """A form without fields."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a page shows in its form: nothing yet, or what was filled in and why it was refused."""

    problem: Problem | None
    kept: Mapping[str, list[str]]
    errors: Mapping[str, str]  # by field

    @property
    def status(self) -> int:
        return self.problem.status if self.problem else 200

    def value(self, field: str, default: str = "") -> str:
        return self.kept.get(field, [default])[0]


Again = Callable[[Form], Awaitable[Response]]


def filled(**values: str) -> Form:
    """A form as it is first shown."""
    return Form(None, {name: [value] for name, value in values.items()}, {})


async def answer_form(
    request: Request,
    model: type[Model],
    act: Callable[[Model], Awaitable[Response]],
    again: Again,
) -> Response:
    """Reads the form and lets `act` answer it. When that raises a Problem, `again` shows the page with it."""
    sent = await read_form(request)
    try:
        return await act(as_body(model, sent))
    except Problem as problem:
        if not reads_pages(request.scope):
            raise
        if isinstance(problem, Unauthenticated):  # the session ended while the form was on its way
            raise signed_out(request, problem) from None
        answer = await again(Form(problem, _without_secrets(model, sent), _by_field(problem)))
        if problem.retry_after is not None:
            answer.headers["retry-after"] = str(problem.retry_after)
        return answer


async def read_form(request: Request) -> Sent:
    """The fields that were filled in; the edge bounds their length. Raises UnsupportedMediaType, MalformedRequest."""
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
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise MalformedRequest("The form could not be read.") from None
    sent: Sent = {}
    for name, value in pairs:
        if value:
            sent.setdefault(name, []).append(value)
    return sent


def as_body(model: type[Model], sent: Sent) -> Model:
    """Raises InvalidRequest, with what is wrong by field; also for a field that the form does not have."""
    try:
        return model.model_validate({name: _value(model, name, values) for name, values in sent.items()})
    except ValidationError as error:
        raise invalid_request(error.errors()) from None


def _value(model: type[Body], name: str, values: list[str]) -> str | list[str]:
    if name in model.model_fields and _mentions(model.model_fields[name].annotation, list):
        return values
    if len(values) > 1:
        raise MalformedRequest("A field that may come once came twice.")
    return values[0]


def _without_secrets(model: type[Body], sent: Sent) -> Sent:
    shown = {name for name, field in model.model_fields.items() if not _mentions(field.annotation, Secret)}
    return {name: values for name, values in sent.items() if name in shown}


def _mentions(annotation: Any, wanted: type) -> bool:  # noqa: ANN401 - a type, or what typing makes of several
    origin = getattr(annotation, "__origin__", annotation)
    return origin is wanted or any(_mentions(part, wanted) for part in get_args(annotation))


def _by_field(problem: Problem) -> dict[str, str]:
    errors: Any = problem.extra.get("errors", ())
    return {str(error["loc"][-1]): str(error["msg"]) for error in errors if error["loc"]}
