"""A password that changes, or a person who is disabled, ends what is being made at that moment, too."""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Awaitable

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.credentials import management
from corral.credentials.models import Credential
from corral.database.connection import get_connection_with_rls
from corral.errors import Problem
from corral.identity import api_tokens, queries, sessions, sign_in
from corral.identity.links import issue_link
from corral.identity.models import AuthUser, VerifiedUser
from corral.identity.problems import LinkRefused, PersonDisabled, SignInRefused, Unauthenticated
from corral.identity.reauthentication import confirm_password
from corral.identity.security_events import OPERATOR
from corral.people import invitations, members
from corral.secret import Secret
from tests.access import browser, link_code, sign_in_by_link
from tests.conftest import Service
from tests.identity.members import Member, add_member, post, sign_in_as, status_of
from tests.people import Person, key_pair, paper_key

NEW_PASSWORD = "another horse with another staple"


async def _let_in(service: Service, member: Member) -> VerifiedUser:
    """By the password, a moment before the session is made."""
    resources = service.resources
    return await sign_in.check_password(
        resources.database,
        resources.vault,
        service.services.state["audit"],
        email=member.email,
        password=Secret(member.password),
        peer=None,
    )


async def _caller(service: Service, cookie: str) -> AuthUser:
    """As every request finds it out before it does anything."""
    return await service.services.state["authenticator"].authenticate_session(cookie.partition("=")[2])


async def _change_password(service: Service, member: Member, new: str = NEW_PASSWORD) -> None:
    resources = service.resources
    person = await _caller(service, await sign_in_by_link(service, member.user_id))
    await sign_in.change_password(
        resources.database, resources.vault, person, current=Secret(member.password), new=Secret(new), source=OPERATOR
    )


async def _disable_and_enable(owner: asyncpg.Connection, member: Member) -> None:
    await owner.execute("SELECT corral.disable_user($1)", member.user_id)
    await owner.execute("UPDATE corral.users SET disabled_at = NULL WHERE id = $1", member.user_id)


async def _start_session(service: Service, verified: VerifiedUser) -> object:
    return await sessions.start_session(service.resources.database, service.resources.vault, verified, "race")


async def _make_token(service: Service, maker: AuthUser) -> object:
    resources = service.resources
    return await api_tokens.make_own_token(
        resources.database, resources.vault, maker, name="made in flight", scopes=None, expires_at=None, source=OPERATOR
    )


async def _is_refused(work: Awaitable[object], problem: type[Problem]) -> bool:
    with pytest.raises(problem) as raised:
        await work
    return type(raised.value) is problem


async def _things_of(owner: asyncpg.Connection, member: Member) -> dict[str, int]:
    """How many sessions, tokens and links the person has."""
    return {
        table: await owner.fetchval(f"SELECT count(*) FROM corral.{table} WHERE user_id = $1", member.user_id)
        for table in ("sessions", "api_tokens", "one_time_links")
    }


async def test_a_sign_in_with_the_old_password_creates_no_session(
    service: Service, carol: Member, owner: asyncpg.Connection
) -> None:
    verified = await _let_in(service, carol)
    await _change_password(service, carol)
    assert await _is_refused(_start_session(service, verified), SignInRefused)
    assert (await _things_of(owner, carol))["sessions"] == 0


async def test_a_sign_in_by_a_link_before_the_change_creates_no_session(
    service: Service, carol: Member, owner: asyncpg.Connection
) -> None:
    resources = service.resources
    verified = await sign_in.redeem_sign_in_link(
        resources.database, resources.vault, Secret(await link_code(service, carol.user_id))
    )
    await _change_password(service, carol)
    assert await _is_refused(_start_session(service, verified), LinkRefused)
    assert (await _things_of(owner, carol))["sessions"] == 0


async def test_a_link_from_before_the_change_is_refused_after_it(
    service: Service, carol: Member, alice: Person, anonymous: ClientSession
) -> None:
    hers, of_another = await link_code(service, carol.user_id), await link_code(service, alice.user_id)
    await _change_password(service, carol)
    assert (await post(anonymous, "/api/session/link", token=hers)).reported["code"] == "link_refused"
    assert (await post(anonymous, "/api/session/link", token=of_another)).status == 200


async def test_a_session_of_the_old_password_creates_no_token(
    service: Service, carol: Member, owner: asyncpg.Connection
) -> None:
    maker = await _caller(service, await sign_in_by_link(service, carol.user_id))
    await _make_token(service, maker)
    await _change_password(service, carol)
    assert await _is_refused(_make_token(service, maker), Unauthenticated)
    assert (await _things_of(owner, carol))["api_tokens"] == 1  # what was finished stays


async def test_keys_are_not_stored_changed_or_deleted_after_access_has_ended(
    service: Service, carol: Member, owner: asyncpg.Connection
) -> None:
    """An intruder would want to replace a user's keys."""
    resources = service.resources
    maker = await _caller(service, await sign_in_by_link(service, carol.user_id))

    async def store(key_id: str) -> Credential:
        keys = {name: Secret(key) for name, key in key_pair(key_id).items()}
        return await management.store_credential(
            maker,
            resources.database,
            resources.vault,
            resources.alpaca,
            nickname="mine",
            expected=None,
            api_key=keys["api_key"],
            secret_key=keys["secret_key"],
        )

    async def rows() -> list[asyncpg.Record]:
        return await owner.fetch(
            "SELECT id, nickname, is_active, api_key_sealed FROM corral.credentials WHERE user_id = $1", carol.user_id
        )

    stored = await store(paper_key())
    before = await rows()
    await _change_password(service, carol)
    for attempt in (
        store(paper_key()),
        management.change_credential(
            maker, resources.database, resources.vault, stored.id, nickname="theirs", is_active=False, replacement=None
        ),
        management.delete_credential(maker, resources.database, resources.vault, stored.id),
    ):
        assert await _is_refused(attempt, Unauthenticated)
    await owner.execute("SELECT corral.disable_user($1)", carol.user_id)
    assert await _is_refused(store(paper_key()), Unauthenticated)
    assert await rows() == before


async def test_of_two_concurrent_password_changes_one_succeeds(
    service: Service, carol: Member, anonymous: ClientSession
) -> None:
    cookies = [await sign_in_by_link(service, carol.user_id) for _ in range(2)]
    wanted = [NEW_PASSWORD, NEW_PASSWORD + " and a lamp"]

    async def change(cookie: str, new: str) -> int:
        body = {"current_password": carol.password, "new_password": new}
        async with browser(service.url, cookie) as page, page.put("/api/me/password", json=body) as answer:
            return answer.status

    statuses = await asyncio.gather(*map(change, cookies, wanted))
    assert sorted(statuses) == [204, 401]
    for status, new in zip(statuses, wanted, strict=True):
        assert (await sign_in_as(anonymous, carol, new)).status == (200 if status == 204 else 401)


async def test_an_action_confirmed_with_the_old_password_is_not_done(
    service: Service, ada: Member, carol: Member, owner: asyncpg.Connection
) -> None:
    resources = service.resources
    administrator = await _caller(service, await sign_in_by_link(service, ada.user_id))
    await confirm_password(resources.database, resources.vault, administrator, Secret(ada.password))
    await _change_password(service, ada)
    email = "nobody-yet@corral.example"
    for deed in (
        invitations.invite(administrator, resources.database, resources.vault, email=email, public_url=service.url),
        members.disable_person(administrator, resources.database, resources.vault, carol.user_id),
        members.enable_person(administrator, resources.database, resources.vault, carol.user_id),
    ):
        assert await _is_refused(deed, SignInRefused)
    assert not await owner.fetchval("SELECT disabled_at FROM corral.users WHERE id = $1", carol.user_id)
    assert not await owner.fetchval("SELECT count(*) FROM corral.invitations WHERE email = $1", email)


async def test_requests_in_progress_stay_ended_when_a_disabled_user_is_enabled_again(
    service: Service, carol: Member, owner: asyncpg.Connection
) -> None:
    resources = service.resources
    maker = await _caller(service, await sign_in_by_link(service, carol.user_id))
    by_password, code = await _let_in(service, carol), Secret(await link_code(service, carol.user_id))
    by_link = await sign_in.redeem_sign_in_link(resources.database, resources.vault, code)
    await _disable_and_enable(owner, carol)
    assert await _is_refused(_start_session(service, by_password), SignInRefused)
    assert await _is_refused(_start_session(service, by_link), LinkRefused)
    assert await _is_refused(_make_token(service, maker), Unauthenticated)
    assert await _things_of(owner, carol) == {"sessions": 0, "api_tokens": 0, "one_time_links": 0}


async def test_no_invitation_is_created_when_its_administrator_is_disabled_meanwhile(
    service: Service, ada: Member, owner: asyncpg.Connection
) -> None:
    resources = service.resources
    administrator = await _caller(service, await sign_in_by_link(service, ada.user_id))
    await _disable_and_enable(owner, ada)
    invited = invitations.invite(
        administrator, resources.database, resources.vault, email="nobody-yet@corral.example", public_url=service.url
    )
    assert await _is_refused(invited, SignInRefused)


async def test_the_operator_creates_no_link_or_token_for_a_disabled_user(
    service: Service, carol: Member, owner: asyncpg.Connection
) -> None:
    resources = service.resources
    await owner.execute("SELECT corral.disable_user($1)", carol.user_id)
    made = [
        issue_link(resources.database, resources.vault, "sign_in", carol.user_id, service.url),
        api_tokens.create_api_token(
            carol.user_id, resources.database, resources.vault, name="late", scopes=None, expires_at=None
        ),
    ]
    for one in made:
        assert await _is_refused(one, PersonDisabled)
    assert await _things_of(owner, carol) == {"sessions": 0, "api_tokens": 0, "one_time_links": 0}


async def _until_a_query_waits(owner: asyncpg.Connection) -> None:
    """For a row that another transaction has changed or locked."""
    async with asyncio.timeout(60):
        while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("ending", ["a new password", "disabling", "ending all tokens"])
async def test_what_is_created_while_revocation_waits_is_revoked_too(
    service: Service, carol: Member, owner: asyncpg.Connection, ending: str
) -> None:
    """Its transaction has the user's row, and commits after the end has begun."""
    resources = service.resources
    person = await _caller(service, await sign_in_by_link(service, carol.user_id))
    ends = {
        "a new password": lambda: sign_in.change_password(
            resources.database,
            resources.vault,
            person,
            current=Secret(carol.password),
            new=Secret(NEW_PASSWORD),
            source=OPERATOR,
        ),
        "disabling": lambda: owner.execute("SELECT corral.disable_user($1)", carol.user_id),
        "ending all tokens": lambda: api_tokens.revoke_all_api_tokens(
            carol.user_id, resources.database, resources.vault, OPERATOR
        ),
    }
    watching: asyncpg.Connection = await asyncpg.connect(service.services.addresses.owner)
    async with get_connection_with_rls(carol.user_id, resources.database) as connection:
        assert await queries.lock_user(connection, carol.user_id)
        await connection.execute(
            """
            INSERT INTO corral.sessions (user_id, lookup, seal, expires_at)
            VALUES ($1, 'late', 'late', now() + interval '1 hour')
            """,
            carol.user_id,
        )
        await connection.execute(
            "INSERT INTO corral.api_tokens (user_id, name, scopes, lookup, seal) VALUES ($1, 'late', '{}', '', '')",
            carol.user_id,
        )
        end = asyncio.ensure_future(ends[ending]())
        await _until_a_query_waits(watching)
    await end
    await watching.close()
    left = await _things_of(owner, carol)
    assert (left["sessions"] == 0) is (ending != "ending all tokens")
    assert (left["api_tokens"] == 0) is (ending != "a new password")


async def test_revoking_all_tokens_affects_no_other_user(
    service: Service, carol: Member, alice: Person, bob: Person, anonymous: ClientSession
) -> None:
    async with alice.client.post("/api/tokens", json={"name": "second"}) as answer:
        second = (await answer.json())["token"]
    async with alice.client.delete("/api/tokens") as answer:
        assert answer.status == 204
    for token, status in ((alice.token, 401), (second, 401), (bob.token, 200)):
        async with anonymous.get("/api/me", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == status


async def test_a_token_revoked_meanwhile_creates_no_other(
    service: Service, alice: Person, owner: asyncpg.Connection
) -> None:
    maker = await service.services.state["authenticator"].authenticate_token(alice.token)
    await api_tokens.revoke_all_api_tokens(alice.user_id, service.resources.database, service.resources.vault, OPERATOR)
    assert await _is_refused(_make_token(service, maker), Unauthenticated)
    assert not await owner.fetchval("SELECT count(*) FROM corral.api_tokens WHERE user_id = $1", alice.user_id)


async def test_no_session_of_the_old_password_survives_a_change_in_any_of_many_rounds(
    request: pytest.FixtureRequest, service: Service, owner: asyncpg.Connection
) -> None:
    """Three sign-ins by the old password, one by a link and a change of the password, all at once.

    `make races` plays 2,000 rounds and says how many sessions were made meanwhile.
    """
    rounds = int(request.config.getoption("--race-rounds") or 0)
    reported: Counter[str] = Counter()
    member = await add_member(service)
    for _ in range(rounds):
        new = f"a new horse and {random.getrandbits(64)} staples"
        reported.update(await _race(service, owner, member, new))
        member = Member(member.user_id, member.email, new)
    sys.stdout.write(f"{rounds} rounds: {dict(reported)}\n")
    assert reported["changed"] == rounds
    assert reported["survived"] == 0


async def _race(service: Service, owner: asyncpg.Connection, member: Member, new: str) -> Counter[str]:
    await owner.execute("DELETE FROM corral.sign_in_attempts")
    cookie, code = await sign_in_by_link(service, member.user_id), await link_code(service, member.user_id)
    body = {"current_password": member.password, "new_password": new}

    async with browser(service.url) as page:

        async def arrive(by: str) -> str | None:
            await asyncio.sleep(random.random() * 0.3)
            if by == "link":
                return (await post(page, "/api/session/link", token=code)).cookie
            return (await sign_in_as(page, member)).cookie

        async def change() -> int:
            async with page.put("/api/me/password", json=body, headers={"Cookie": cookie}) as answer:
                return answer.status

        changing = asyncio.ensure_future(change())
        made = [one for one in await asyncio.gather(*map(arrive, ["password"] * 3 + ["link"])) if one]
        status = await changing
        survived = [await status_of(page, one) for one in made].count(200)
    return Counter(changed=int(status == 204), made=len(made), refused=4 - len(made), survived=survived)
