"""The edge: HTTP comes in and goes out here and nowhere else."""

from corral.edge.connection import Limits
from corral.edge.csrf import is_cross_origin, origin_of
from corral.edge.edge import ASGIApp, Edge
from corral.edge.error_handlers import install_problem_handlers
from corral.edge.problems import PROBLEM_RESPONSES, ProblemBody, render_problem, responses_for
from corral.edge.server import PortTaken, reserve_port, serve_http

__all__ = [
    "PROBLEM_RESPONSES",
    "ASGIApp",
    "Edge",
    "Limits",
    "PortTaken",
    "ProblemBody",
    "install_problem_handlers",
    "is_cross_origin",
    "origin_of",
    "render_problem",
    "reserve_port",
    "responses_for",
    "serve_http",
]
