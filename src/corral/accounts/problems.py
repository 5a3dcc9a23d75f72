"""Errors of what an account contains."""

from corral.errors import Problem


class OrderNotFound(Problem):
    """Order not found. It may belong to another account."""

    status, code, title = 404, "order_not_found", "Order not found"
