"""/v2/orders: place, list, look up, replace and cancel."""

from dataclasses import replace
from uuid import UUID

from corral_sandbox.answers import Answer, Document, Refused
from corral_sandbox.book import Book
from corral_sandbox.matching import best_price
from corral_sandbox.order_checks import check_account, check_client_order_id, check_order, inferred_intent
from corral_sandbox.order_document import order_document
from corral_sandbox.order_entry import read_change, read_order
from corral_sandbox.order_list import chosen_orders
from corral_sandbox.order_rules import Unprocessable, check_rules
from corral_sandbox.orders import Order, Ticket
from corral_sandbox.parameters import Invalid, as_flag
from corral_sandbox.replacement import changed_ticket
from corral_sandbox.requests import Request


def place_order(request: Request) -> Document:
    """Answers the order as it was taken; what becomes of it at once is told by the stream and the next look."""
    book = up_to_now(request)
    ticket = read_order(request.document())
    check_account(book)
    return submit(request, book, ticket)


def submit(request: Request, book: Book, ticket: Ticket) -> dict[str, object]:
    check_rules(ticket, request.now)
    check_client_order_id(book, ticket.client_order_id)
    check_order(book, ticket, request.customer.configurations, request.now)
    if ticket.asset is not None and ticket.asset.contract is not None:
        ticket = replace(ticket, intent=inferred_intent(book, ticket))
    order = book.enter(ticket, request.now)
    document = order_document(order)
    book.advance(request.now)
    return document


def list_orders(request: Request) -> Document:
    book, query = up_to_now(request), request.query()
    nested = as_flag("nested", query.get("nested", "false"))
    return [document_now(request, order, nested=nested) for order in chosen_orders(book, query, nested=nested)]


def show_order(request: Request) -> Document:
    book = up_to_now(request)
    nested = as_flag("nested", request.query().get("nested", "false"))
    return document_now(request, _asked_for(book, request), nested=nested)


def show_order_by_client_order_id(request: Request) -> Document:
    book = up_to_now(request)
    order = book.by_client_order_id.get(request.query().get("client_order_id", ""))
    if order is None:
        raise Refused(404, "order not found for client order id", code=40410000)
    return document_now(request, order)


def replace_order(request: Request) -> Document:
    book = up_to_now(request)
    order, change = _asked_for(book, request), read_change(request.document())
    check_account(book)
    ticket = changed_ticket(order, change)
    check_client_order_id(book, change.client_order_id)
    if order.is_exit:
        check_rules(replace(ticket, order_class=""), request.now)  # what holds for a class holds for the whole
    else:
        check_rules(ticket, request.now)
        check_order(book, ticket, request.customer.configurations, request.now, instead=order)
    new = book.replace(order, ticket, request.now)
    document = order_document(new)
    book.advance(request.now)
    return document


def cancel_order(request: Request) -> Answer:
    book = up_to_now(request)
    order = _asked_for(book, request)
    if not order.is_open or order.ratio is not None:
        raise Unprocessable(f'order is already in "{order.status}" state')
    book.cancel(order, request.now)
    return Answer(204, b"")


def cancel_all_orders(request: Request) -> Answer:
    return Answer(207, [{"id": order.id, "status": 200} for order in cancel_all(up_to_now(request), request.now)])


def cancel_all(book: Book, now: int) -> list[Order]:
    canceled = list(book.open_orders())
    for order in canceled:
        if order.is_open:
            book.cancel(order, now)
    return canceled


def up_to_now(request: Request) -> Book:
    book = request.customer.book
    book.advance(request.now)
    return book


def document_now(request: Request, order: Order, *, nested: bool = True) -> dict[str, object]:
    seed = request.customer.account.seed
    return order_document(order, nested=nested, peak=best_price(seed, order, request.now))


def _asked_for(book: Book, request: Request) -> Order:
    order_id = request.parameters["order_id"]
    try:
        order = book.orders.get(str(UUID(order_id)))
    except ValueError:
        raise Invalid("order_id is missing") from None
    if order is None:
        raise Refused(404, f"order not found for {order_id}", code=40410000)
    return order
