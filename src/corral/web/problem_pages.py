"""A Problem as a person sees it: what happened, what to do, and under which id the log has it."""

from corral.edge.problems import Headers, render_problem
from corral.errors import Problem
from corral.web.templating import encoded_page_headers, render


def render_problem_page(problem: Problem, request_id: str, *, sandbox: bool) -> tuple[int, Headers, bytes]:
    """Status, headers and body. It asks nothing of anybody, for it may be about the database itself."""
    status, headers, _ = render_problem(problem, request_id)
    kept = [(name, value) for name, value in headers if name not in {b"content-type", b"content-length"}]
    body = render(
        "problem.html",
        user=None,
        sandbox=sandbox,
        here="",
        environment=None,
        problem=problem,
        request_id=request_id,
    ).encode()
    return status, [*kept, *encoded_page_headers(), (b"content-length", b"%d" % len(body))], body
