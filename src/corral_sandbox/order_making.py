"""Makes the orders that a ticket asks for, with ids that follow from the account and their succession."""

from uuid import UUID, uuid5

from corral_sandbox.leg_tickets import exit_tickets, oco_tickets, strategy_ticket
from corral_sandbox.matching import expiry, is_tradable
from corral_sandbox.orders import Group, Order, Role, Ticket


class OrderMaker:
    """Of one account."""

    def __init__(self, account_id: str) -> None:
        self._account_id = UUID(account_id)
        self._count = 0

    def new_id(self, kind: str) -> str:
        self._count += 1
        return str(uuid5(self._account_id, f"{kind}/{self._count}"))

    def make_family(self, ticket: Ticket, now: int) -> list[Order]:
        """Answers the order itself, and after it those that come with it: exits, or the legs of a strategy."""
        if ticket.order_class == "oco":
            return self._make_group(oco_tickets(ticket), "take_profit", now)
        if ticket.order_class in {"bracket", "oto"}:
            return self._make_group({"entry": ticket, **exit_tickets(ticket)}, "entry", now)
        order = self.make(ticket, now)
        order.legs = tuple(self._make_leg(order, index, now) for index in range(len(ticket.legs)))
        return [order, *order.legs]

    def make(self, ticket: Ticket, now: int) -> Order:
        order_id = self.new_id("order")
        return Order(
            id=order_id,
            number=self._count,
            client_order_id=ticket.client_order_id or str(uuid5(self._account_id, f"client/{order_id}")),
            ticket=ticket,
            status="pending_new" if is_tradable(ticket, now) else "accepted",
            submitted_at=now,
            ready_at=now,
            updated_at=now,
            expires_at=expiry(ticket, now),
        )

    def _make_group(self, tickets: dict[Role, Ticket], top: Role, now: int) -> list[Order]:
        """Only an OCO's stop is watched from the beginning; other exits wait until they have something to close."""
        group = Group(self.new_id("group"), top)
        for role, ticket in tickets.items():
            order = group.members[role] = self.make(ticket, now)
            order.group, order.role = group, role
            if role != top:
                order.status = "held"
                order.is_live = top == "take_profit"
        return [group.members[top], *group.legs()]

    def _make_leg(self, order: Order, index: int, now: int) -> Order:
        part = order.ticket.legs[index]
        leg = self.make(strategy_ticket(order.ticket, part), now)
        leg.ratio, leg.is_live = part.ratio, False
        return leg
