"""Problems of streams."""

from corral.errors import Problem


class TooManyStreams(Problem):
    """Too many open streams. Close some; one stream covers all of your accounts."""

    status, code, title = 429, "too_many_streams", "Too many open streams"


class StreamEnded(Problem):
    """The session or API token of this stream is no longer valid. Sign in or use another token, then reconnect."""

    status, code, title = 401, "unauthenticated", "Signed out"


class StreamStopping(Problem):
    """Corral is stopping. Reconnect in a moment; the stream resumes, or reports what was missed."""

    status, code, title = 503, "stopping", "Stopping"


class CredentialSwitchedOff(Problem):
    """This account was paused or removed, so it gets no updates."""

    status, code, title = 400, "credential_inactive", "Account paused"


class OrdersPolled(Problem):
    """Another program uses the only order stream that Alpaca allows per account. Corral polls orders instead."""

    status, code, title = 429, "order_stream_taken", "Order updates delayed"


class OrdersDelayed(Problem):
    """Alpaca's order stream can't be opened at the moment. Corral polls orders until it can."""

    status, code, title = 502, "order_stream_down", "Order updates delayed"


class PositionsUnavailable(Problem):
    """Alpaca isn't returning this account's positions. Corral keeps trying; cash, equity and orders stay current."""

    status, code, title = 502, "positions_unavailable", "Positions unavailable"


class PositionsUnreadable(Problem):
    """Some positions can't be read. Their last known values are shown as stale."""

    status, code, title = 502, "positions_unreadable", "Positions incomplete"


class OrdersUnavailable(Problem):
    """Alpaca isn't returning this account's orders. Corral keeps trying; cash, equity and positions stay current."""

    status, code, title = 502, "orders_unavailable", "Orders unavailable"


class OrdersUnreadable(Problem):
    """Some orders can't be read, so updates to them may be missing."""

    status, code, title = 502, "orders_unreadable", "Orders incomplete"
