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
    """This grant was changed in the database by someone else than Corral and doesn't work. Revoke it."""

    status, code, title = 409, "grant_altered", "Grant altered"


class PasswordNotSet(Problem):
    """Live trading is confirmed with your password, and you have none. Set one on the settings page first."""

    status, code, title = 409, "password_not_set", "No password set"
