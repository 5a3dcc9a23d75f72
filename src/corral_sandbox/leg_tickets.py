"""The orders that come with another one: a bracket's exits, an OCO's stop, an option strategy's legs."""

from dataclasses import replace

from corral_sandbox.orders import Intent, Leg, Role, Side, Ticket

_EXITS: dict[Side, tuple[Side, Intent]] = {"buy": ("sell", "sell_to_close"), "sell": ("buy", "buy_to_close")}


def exit_tickets(ticket: Ticket) -> dict[Role, Ticket]:
    """Answers what closes the position again that a bracket's or an OTO's entry opens."""
    side, intent = _EXITS[ticket.side]
    bare = replace(
        _without_prices(ticket), side=side, intent=intent, take_profit=None, stop_loss=None, client_order_id=None
    )
    exits: dict[Role, Ticket] = {}
    if ticket.take_profit is not None:
        exits["take_profit"] = replace(bare, type="limit", limit_price=ticket.take_profit)
    if ticket.stop_loss is not None:
        exits["stop_loss"] = stop_ticket(bare, ticket)
    return exits


def oco_tickets(ticket: Ticket) -> dict[Role, Ticket]:
    """Answers the two exits that an OCO consists of: the first one is the order itself."""
    bare = replace(_without_prices(ticket), take_profit=None, stop_loss=None)
    return {
        "take_profit": replace(bare, type="limit", limit_price=ticket.take_profit),
        "stop_loss": replace(stop_ticket(bare, ticket), client_order_id=None),
    }


def stop_ticket(bare: Ticket, ticket: Ticket) -> Ticket:
    if ticket.stop_loss is None:
        raise AssertionError("an order with a stop has its price")
    kind = "stop" if ticket.stop_loss.limit_price is None else "stop_limit"
    return replace(bare, type=kind, stop_price=ticket.stop_loss.stop_price, limit_price=ticket.stop_loss.limit_price)


def strategy_ticket(ticket: Ticket, leg: Leg) -> Ticket:
    """Answers what one leg of several options trades."""
    return replace(
        _without_prices(ticket),
        asset=leg.asset,
        side=leg.side,
        intent=leg.intent,
        quantity=ticket.quantity * leg.ratio if ticket.quantity else None,
        legs=(),
        client_order_id=None,
    )


def _without_prices(ticket: Ticket) -> Ticket:
    return replace(ticket, limit_price=None, stop_price=None, trail_price=None, trail_percent=None)
