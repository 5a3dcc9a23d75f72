"""HTTP for signing in, a person's own sessions, and API tokens."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from corral.audit.trail import AUDIT
from corral.edge.problems import responses_for
from corral.edge.request_state import resources_of
from corral.errors import DatabaseUnavailable, InvalidRequest
from corral.identity import api_tokens, queries, sessions, sign_in
from corral.identity.dependencies import CurrentUser, SignedInPerson, TokensRead, TokensWrite
from corral.identity.models import is_idle_too_long
from corral.identity.problems import (
    AlreadySetUp,
    InsufficientScope,
    LinkRefused,
    PasswordTooWeak,
    SessionEnded,
    SessionNotFound,
    SessionRequired,
    SignInRefused,
    SignInThrottled,
    TokenNotFound,
    TooManyTokens,
    Unauthenticated,
    WiderThanItsMaker,
)
from corral.identity.schemas import (
    AccountEventList,
    CreatedToken,
    LinkSignIn,
    Me,
    NewToken,
    PasswordChange,
    Recovery,
    Session,
    SessionList,
    SetUp,
    SignIn,
    Token,
    TokenList,
    event_of,
    me_of,
)
from corral.identity.security_events import device_of, load_events
from corral.identity.session_cookie import begin_session, finish_session, forget_session_cookie, source_of
from corral.identity.throttling import network_address_of

router = APIRouter(prefix="/api", tags=["identity"])

_ALWAYS = (InvalidRequest, DatabaseUnavailable)


@router.post(
    "/session",
    summary="Sign in with email and password",
    responses=responses_for(SignInRefused, SignInThrottled, *_ALWAYS),
)
async def sign_in_with_password(body: SignIn, request: Request, response: Response) -> Me:
    """Signs in and sets the session cookie."""
    resources = resources_of(request)
    verified = await sign_in.check_password(
        resources.database,
        resources.vault,
        AUDIT.of(request),
        email=body.email,
        password=body.password,
        peer=network_address_of(request),
    )
    return me_of(await begin_session(verified, request, response))


@router.post("/session/link", summary="Sign in with a one-time code", responses=responses_for(LinkRefused, *_ALWAYS))
async def sign_in_with_link(body: LinkSignIn, request: Request, response: Response) -> Me:
    """Signs in with the code of a one-time link, which can be used once."""
    resources = resources_of(request)
    verified = await sign_in.redeem_sign_in_link(resources.database, resources.vault, body.token)
    return me_of(await begin_session(verified, request, response))


@router.delete(
    "/session",
    summary="Sign out",
    status_code=204,
    responses=responses_for(Unauthenticated, SessionRequired, DatabaseUnavailable),
)
async def sign_out(user: SignedInPerson, request: Request, response: Response) -> None:
    """Ends this session on the server, too."""
    await finish_session(user, request, response)


@router.get("/me", summary="Current user", responses=responses_for(Unauthenticated, DatabaseUnavailable))
async def read_me(user: CurrentUser) -> Me:
    """Returns the user of this request and their scopes."""
    return me_of(user)


@router.put(
    "/me/password",
    summary="Change the password",
    status_code=204,
    responses=responses_for(
        Unauthenticated, SessionEnded, SessionRequired, SignInRefused, SignInThrottled, PasswordTooWeak, *_ALWAYS
    ),
)
async def change_password(body: PasswordChange, user: SignedInPerson, request: Request, response: Response) -> None:
    """Sets a new password and ends all sessions, including this one."""
    resources = resources_of(request)
    await sign_in.change_password(
        resources.database,
        resources.vault,
        user,
        current=body.current_password,
        new=body.new_password,
        source=source_of(request, "session", user.session_or_token_id),
    )
    forget_session_cookie(resources, response)


@router.get(
    "/me/events",
    summary="Security activity",
    responses=responses_for(Unauthenticated, SessionRequired, DatabaseUnavailable),
)
async def list_events(user: SignedInPerson, request: Request) -> AccountEventList:
    """Returns changes of passwords and API tokens: when and from where. Newest first."""
    events = await load_events(user.id, resources_of(request).database)
    return AccountEventList(items=[event_of(event) for event in events])


@router.post(
    "/recovery",
    summary="Reset the password with a recovery link",
    status_code=204,
    responses=responses_for(LinkRefused, PasswordTooWeak, *_ALWAYS),
)
async def recover(body: Recovery, request: Request) -> None:
    """Ends all of the user's sessions, links and API tokens. Does not sign in. The operator creates the link."""
    resources = resources_of(request)
    await sign_in.recover_password(
        resources.database, resources.vault, code=body.token, new=body.new_password, source=source_of(request, "link")
    )


@router.post(
    "/setup",
    summary="Create the first user",
    status_code=201,
    responses=responses_for(LinkRefused, AlreadySetUp, PasswordTooWeak, *_ALWAYS),
)
async def set_up(body: SetUp, request: Request, response: Response) -> Me:
    """Creates the first user, an administrator, with the code of the link that `corral serve` prints."""
    resources = resources_of(request)
    verified = await sign_in.set_up_first_user(
        resources.database, resources.vault, code=body.token, email=body.email, password=body.password
    )
    return me_of(await begin_session(verified, request, response))


@router.get(
    "/tokens",
    summary="List API tokens",
    responses=responses_for(Unauthenticated, InsufficientScope, DatabaseUnavailable),
)
async def list_tokens(user: TokensRead, request: Request) -> TokenList:
    tokens = await api_tokens.load_api_tokens(user.id, resources_of(request).database)
    return TokenList(items=[_token(token) for token in tokens])


@router.post(
    "/tokens",
    summary="Create an API token",
    status_code=201,
    responses=responses_for(Unauthenticated, InsufficientScope, WiderThanItsMaker, TooManyTokens, *_ALWAYS),
)
async def create_token(body: NewToken, user: TokensWrite, request: Request) -> CreatedToken:
    """Creates an API token. Only this response contains it."""
    api_tokens.refuse_wider_than_its_maker(user, body.scopes, body.expires_at)
    resources = resources_of(request)
    metadata, token = await api_tokens.make_own_token(
        resources.database,
        resources.vault,
        user,
        name=body.name,
        scopes=api_tokens.scopes_made_by(user, body.scopes),
        expires_at=body.expires_at,
        source=source_of(request, user.authenticated_by, user.session_or_token_id),
    )
    return CreatedToken(**_token(metadata).model_dump(), token=token.reveal())


@router.delete(
    "/tokens/{token_id}",
    summary="Revoke an API token",
    status_code=204,
    responses=responses_for(Unauthenticated, InsufficientScope, TokenNotFound, *_ALWAYS),
)
async def revoke_token(token_id: UUID, user: TokensWrite, request: Request) -> None:
    """Revokes the API token immediately."""
    resources = resources_of(request)
    source = source_of(request, user.authenticated_by, user.session_or_token_id)
    await api_tokens.revoke_api_token(user.id, resources.database, resources.vault, token_id, source)


@router.delete(
    "/tokens",
    summary="Revoke all API tokens",
    status_code=204,
    responses=responses_for(Unauthenticated, InsufficientScope, DatabaseUnavailable),
)
async def revoke_all_tokens(user: TokensWrite, request: Request) -> None:
    """Revokes all API tokens immediately, including the one of this request. Sessions are not affected."""
    resources = resources_of(request)
    source = source_of(request, user.authenticated_by, user.session_or_token_id)
    await api_tokens.revoke_all_api_tokens(user.id, resources.database, resources.vault, source)


def _token(metadata: queries.TokenMetadata) -> Token:
    return Token(
        id=metadata.id,
        name=metadata.name,
        scopes=metadata.scopes,
        created_at=metadata.created_at,
        expires_at=metadata.expires_at,
        last_used_at=metadata.last_used_at,
    )


@router.get(
    "/sessions",
    summary="List sessions",
    responses=responses_for(Unauthenticated, SessionRequired, DatabaseUnavailable),
)
async def list_sessions(user: SignedInPerson, request: Request) -> SessionList:
    """Returns your sessions, last used first. The device is derived from the User-Agent header."""
    return SessionList(
        items=[
            Session(
                id=session.id,
                device=device_of(session.user_agent),
                is_current=session.id == user.session_or_token_id,
                is_idle=is_idle_too_long(session.rested),
                created_at=session.created_at,
                last_seen_at=session.last_seen_at,
                expires_at=session.expires_at,
            )
            for session in await sessions.load_sessions(user.id, resources_of(request).database)
        ]
    )


@router.delete(
    "/sessions",
    summary="End all other sessions",
    status_code=204,
    responses=responses_for(Unauthenticated, SessionRequired, DatabaseUnavailable),
)
async def end_others(user: SignedInPerson, request: Request) -> None:
    """Ends all other sessions and their streams. API tokens are not affected."""
    await sessions.end_other_sessions(user.id, resources_of(request).database, user.session_or_token_id)


@router.delete(
    "/sessions/{session_id}",
    summary="End a session",
    status_code=204,
    responses=responses_for(Unauthenticated, SessionRequired, SessionNotFound, InvalidRequest, DatabaseUnavailable),
)
async def end_one(session_id: UUID, user: SignedInPerson, request: Request, response: Response) -> None:
    """Ends a session and its streams immediately."""
    resources = resources_of(request)
    await sessions.end_session(user.id, resources.database, session_id)
    if session_id == user.session_or_token_id:
        forget_session_cookie(resources, response)
