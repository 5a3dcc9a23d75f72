"""What can be told about who is asking."""

from corral.errors import Problem


class Unauthenticated(Problem):
    """Sign in, or send an API token as `Authorization: Bearer corral_…`: this request has none that is valid."""

    status, code, title = 401, "unauthenticated", "Not signed in"


class InsufficientScope(Problem):
    """This token may not do that. Create one with the scope that is needed."""

    status, code, title = 403, "insufficient_scope", "The token may not do this"


class SessionRequired(Problem):
    """A token may not do this; sign in as a person."""

    status, code, title = 403, "session_required", "Sign in as a person"


class NotAnAdministrator(Problem):
    """Only an administrator may invite and disable people. The operator makes one: `corral users promote`."""

    status, code, title = 403, "not_an_administrator", "Not an administrator"


class WiderThanItsMaker(Problem):
    """A token cannot make one that may do more, or lives longer, than itself."""

    status, code, title = 403, "wider_than_its_maker", "The new token would be wider"


class SignInRefused(Problem):
    """E-mail address and password do not fit together."""

    status, code, title = 401, "sign_in_refused", "Sign-in refused"


class SignInThrottled(Problem):
    """Too many attempts to sign in. Wait a little; every further one makes the wait longer, up to a minute."""

    status, code, title = 429, "sign_in_throttled", "Too many attempts"


class SessionEnded(Unauthenticated):
    """The password was wrong five times in a row, so this session has ended. Sign in again."""

    code, title = "session_ended", "Session ended"


class LinkRefused(Problem):
    """This one-time link is used up, replaced by a newer one, or too old. Ask for a new one."""

    status, code, title = 403, "link_refused", "The link no longer works"


class PersonDisabled(Problem):
    """This person is disabled. Enable them first."""

    status, code, title = 409, "person_disabled", "Person disabled"


class AlreadySetUp(Problem):
    """Somebody is set up here already. Sign in, or ask them to invite you."""

    status, code, title = 409, "already_set_up", "Already set up"


class EmailTaken(Problem):
    """There is somebody with this e-mail address already."""

    status, code, title = 409, "email_taken", "E-mail address taken"


class PasswordTooWeak(Problem):
    """Choose a password of 12 to 1,024 characters that is not your email address and not easy to guess."""

    status, code, title = 422, "password_too_weak", "Password too weak"


class TokenNotFound(Problem):
    """There is no such token of yours."""

    status, code, title = 404, "token_not_found", "Token not found"


class TokenMadeAlready(Problem):
    """This token is made already, and was shown then. If you did not see it, revoke it and make another."""

    status, code, title = 409, "token_made_already", "Made already"


class TooManyTokens(Problem):
    """You have 100 API tokens, the most that one person may have. Revoke those that you no longer need."""

    status, code, title = 409, "too_many_tokens", "Too many tokens"


class SessionNotFound(Problem):
    """There is no such session of yours; it may have ended already."""

    status, code, title = 404, "session_not_found", "Session not found"
