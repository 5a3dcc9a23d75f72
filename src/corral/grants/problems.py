"""Problems of grants."""

from corral.errors import Problem


class GrantNotFound(Problem):
    """Grant not found. It may have been revoked already."""

    status, code, title = 404, "grant_not_found", "Grant not found"


class TooManyGrants(Problem):
    """This account has 100 grants, the maximum. Revoke some first."""

    status, code, title = 409, "too_many_grants", "Too many grants"


class GrantMadeAlready(Problem):
    """This grant was already created, and its secret shown. If you didn't copy it, renew it with a new one."""

    status, code, title = 409, "grant_made_already", "Grant already created"


class GrantChanged(Problem):
    """This grant was renewed or changed meanwhile. Check it before you renew it again."""

    status, code, title = 409, "grant_changed", "Grant changed"


class GrantAltered(Problem):
    """This grant's record was modified outside Corral, so it no longer works. Revoke it."""

    status, code, title = 409, "grant_altered", "Grant altered"


class PasswordNotSet(Problem):
    """You don't have a password yet. Set one in Settings first: it confirms grants for live trading."""

    status, code, title = 409, "password_not_set", "No password set"
