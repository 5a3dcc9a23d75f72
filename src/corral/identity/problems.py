"""Problems of authentication, users, sessions and tokens."""

from corral.errors import Problem


class Unauthenticated(Problem):
    """Not signed in. Sign in, or send a valid API token as `Authorization: Bearer corral_…`."""

    status, code, title = 401, "unauthenticated", "Not signed in"


class InsufficientScope(Problem):
    """This API token lacks the required scope. Create one that has it."""

    status, code, title = 403, "insufficient_scope", "Insufficient scope"


class SessionRequired(Problem):
    """API tokens can't do this. Sign in with a browser."""

    status, code, title = 403, "session_required", "Sign-in required"


class NotAnAdministrator(Problem):
    """Only administrators can manage members. The operator can make you one with `corral users promote`."""

    status, code, title = 403, "not_an_administrator", "Not an administrator"


class WiderThanItsMaker(Problem):
    """A token can't create one with more scopes or a later expiration than its own."""

    status, code, title = 403, "wider_than_its_maker", "Exceeds the token's scopes"


class SignInRefused(Problem):
    """Wrong email or password."""

    status, code, title = 401, "sign_in_refused", "Sign-in failed"


class SignInThrottled(Problem):
    """Too many sign-in attempts. Each further attempt makes the wait longer, up to a minute."""

    status, code, title = 429, "sign_in_throttled", "Too many attempts"


class SessionEnded(Unauthenticated):
    """You were signed out after five wrong passwords in a row. Sign in again."""

    code, title = "session_ended", "Signed out"


class LinkRefused(Problem):
    """This link has expired or was already used. Ask for a new one."""

    status, code, title = 403, "link_refused", "Link no longer valid"


class PersonDisabled(Problem):
    """This member is disabled. Enable them first."""

    status, code, title = 409, "person_disabled", "Member disabled"


class AlreadySetUp(Problem):
    """This server is already set up. Sign in, or ask an administrator for an invitation."""

    status, code, title = 409, "already_set_up", "Already set up"


class EmailTaken(Problem):
    """A member with this email already exists."""

    status, code, title = 409, "email_taken", "Email already in use"


class PasswordTooWeak(Problem):
    """Choose a password of 12 to 1,024 characters that isn't your email and isn't easy to guess."""

    status, code, title = 422, "password_too_weak", "Password too weak"


class TokenNotFound(Problem):
    """API token not found. It may have been revoked already."""

    status, code, title = 404, "token_not_found", "API token not found"


class TokenMadeAlready(Problem):
    """This token was already created and shown. If you didn't copy it, revoke it and create another."""

    status, code, title = 409, "token_made_already", "Token already created"


class TooManyTokens(Problem):
    """You have 100 API tokens, the maximum. Revoke some first."""

    status, code, title = 409, "too_many_tokens", "Too many API tokens"


class SessionNotFound(Problem):
    """Session not found. It may have ended already."""

    status, code, title = 404, "session_not_found", "Session not found"
