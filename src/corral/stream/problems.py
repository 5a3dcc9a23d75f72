"""What can be told about a stream."""

from corral.errors import Problem


class TooManyStreams(Problem):
    """You have as many streams open as one person may. Close some; one is enough for all of your accounts."""

    status, code, title = 429, "too_many_streams", "Too many open streams"


class StreamEnded(Problem):
    """The session or token of this stream is no longer valid. Sign in, or use another token, and open a new one."""

    status, code, title = 401, "unauthenticated", "Not signed in any more"


class StreamStopping(Problem):
    """Corral is stopping. Open the stream again in a moment; it goes on from there, or says what it missed."""

    status, code, title = 503, "stopping", "Stopping"


class CredentialSwitchedOff(Problem):
    """This credential was switched off or deleted. Nothing more is told of it while that is so."""

    status, code, title = 400, "credential_inactive", "Credential switched off"


class OrdersPolled(Problem):
    """Another program holds the one connection that Alpaca allows an account. Orders are asked for now and then."""

    status, code, title = 429, "order_stream_taken", "Orders arrive later"


class OrdersDelayed(Problem):
    """Alpaca's connection for orders does not hold at the moment. Orders are asked for now and then meanwhile."""

    status, code, title = 502, "order_stream_down", "Orders arrive later"


class PositionsUnavailable(Problem):
    """Alpaca isn't returning this account's positions. Corral keeps trying; cash, equity and orders stay current."""

    status, code, title = 502, "positions_unavailable", "Positions unavailable"


class PositionsUnreadable(Problem):
    """Some positions in Alpaca's answer can't be read. The last known values of those are shown as stale."""

    status, code, title = 502, "positions_unreadable", "Positions incomplete"


class OrdersUnavailable(Problem):
    """Alpaca isn't returning this account's orders. Corral keeps trying; cash, equity and positions stay current."""

    status, code, title = 502, "orders_unavailable", "Orders unavailable"


class OrdersUnreadable(Problem):
    """Some orders in Alpaca's answer can't be read, so changes to them may be missing here."""

    status, code, title = 502, "orders_unreadable", "Orders incomplete"
