"""Stored passwords, and what a refusal reveals."""

import asyncio
import threading
from typing import Any

import argon2
import asyncpg
import pytest
import zxcvbn
from aiohttp import ClientSession

from corral.errors import Overloaded
from corral.identity import passwords
from corral.identity.problems import PasswordTooWeak
from corral.secret import Secret
from corral.vault import Context
from tests.access import browser, sign_in_by_link
from tests.conftest import Service
from tests.identity.members import PASSWORD, Member, Reply, add_member, post, sign_in_as
from tests.log_lines import LogSince

OTHER_PASSWORD = "another horse with another staple"


@pytest.fixture(scope="module", autouse=True)
def cheap_passwords() -> None:
    """Here they are hashed as in production."""


async def _sealed_password(owner: asyncpg.Connection, member: Member) -> bytes:
    return await owner.fetchval("SELECT password_sealed FROM corral.users WHERE id = $1", member.user_id)


async def _overwrite_password(owner: asyncpg.Connection, member: Member, sealed: bytes) -> None:
    await owner.execute("UPDATE corral.users SET password_sealed = $2 WHERE id = $1", member.user_id, sealed)


async def test_a_password_is_hashed_with_argon2id_above_the_minimum_of_owasp(
    service: Service, carol: Member, owner: asyncpg.Connection
) -> None:
    sealed = await _sealed_password(owner, carol)
    hashed = service.resources.vault.open(Context("password", (str(carol.user_id),)), sealed).reveal()
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert argon2.PasswordHasher().verify(hashed, carol.password)


async def test_the_database_contains_neither_password_nor_hash(carol: Member, owner: asyncpg.Connection) -> None:
    sealed = await _sealed_password(owner, carol)
    assert b"argon2" not in sealed
    assert carol.password.encode() not in sealed


async def test_the_same_password_is_sealed_differently_for_each(
    service: Service, carol: Member, owner: asyncpg.Connection
) -> None:
    twin = await add_member(service, carol.password)
    assert await _sealed_password(owner, twin) != await _sealed_password(owner, carol)


async def test_a_password_moved_from_another_users_row_is_not_accepted(
    service: Service, carol: Member, owner: asyncpg.Connection, log: LogSince, anonymous: ClientSession
) -> None:
    mallory = await add_member(service, OTHER_PASSWORD)
    await _overwrite_password(owner, carol, await _sealed_password(owner, mallory))
    assert (await sign_in_as(anonymous, carol, mallory.password)).status == 401
    assert [alarm["user_id"] for alarm in log.alarms("password_seal_broken")] == [str(carol.user_id)]
    assert (await sign_in_as(anonymous, mallory)).status == 200


async def test_a_hash_written_by_hand_is_not_accepted(
    carol: Member, owner: asyncpg.Connection, log: LogSince, anonymous: ClientSession
) -> None:
    await _overwrite_password(owner, carol, argon2.PasswordHasher().hash(OTHER_PASSWORD).encode())
    assert (await sign_in_as(anonymous, carol, OTHER_PASSWORD)).status == 401
    assert log.alarms("password_seal_broken")


@pytest.mark.parametrize("password", ["eleven char", "a" * 40, "{email}", "{EMAIL}"])
async def test_a_weak_password_is_refused(service: Service, password: str) -> None:
    dave = await add_member(service, password=None)
    new = password.replace("{email}", dave.email).replace("{EMAIL}", dave.email.upper())
    cookie = await sign_in_by_link(service, dave.user_id)
    async with (
        browser(service.url, cookie) as page,
        page.put("/api/me/password", json={"new_password": new}) as answer,
    ):
        assert answer.status == 422
        assert (await answer.json())["code"] == "password_too_weak"


async def test_a_password_is_taken_exactly_as_typed(service: Service, anonymous: ClientSession) -> None:
    erin = await add_member(service, "  Straße № 12 und e\u0301  ")
    assert (await sign_in_as(anonymous, erin, erin.password.strip())).status == 401
    assert (await sign_in_as(anonymous, erin, erin.password.replace("e\u0301", "é"))).status == 401
    assert (await sign_in_as(anonymous, erin)).status == 200


@pytest.mark.parametrize("length", [12, 1024])
async def test_the_shortest_and_the_longest_password_work(
    service: Service, length: int, anonymous: ClientSession
) -> None:
    erin = await add_member(service, ("mt7 qZ.k2 vw " * 100)[:length])
    assert (await sign_in_as(anonymous, erin)).status == 200


def _without_what_always_differs(reply: Reply) -> tuple[int, dict[str, str], dict[str, Any], str | None]:
    headers = {name: value for name, value in reply.headers.items() if name not in {"X-Request-ID", "Date"}}
    return reply.status, headers, reply.reported | {"request_id": ""}, reply.cookie


async def test_a_refusal_does_not_reveal_whether_a_user_exists(
    service: Service, carol: Member, owner: asyncpg.Connection, anonymous: ClientSession
) -> None:
    without_password, disabled = await add_member(service, None), await add_member(service)
    await owner.execute("UPDATE corral.users SET disabled_at = now() WHERE id = $1", disabled.user_id)
    wrong = await sign_in_as(anonymous, carol, OTHER_PASSWORD)
    assert (wrong.status, wrong.reported["code"]) == (401, "sign_in_refused")
    for reply in (
        await post(anonymous, "/api/session", email="nobody@corral.example", password=PASSWORD),
        await sign_in_as(anonymous, without_password, PASSWORD),
        await sign_in_as(anonymous, disabled),
    ):
        assert _without_what_always_differs(reply) == _without_what_always_differs(wrong)


async def test_refusing_an_unknown_address_is_as_much_work_as_refusing_a_known_one(
    service: Service, carol: Member, anonymous: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One verification each, of a hash that costs the same: all the rest takes a fiftieth of the time."""
    verify, costs = argon2.PasswordHasher.verify, list[argon2.Parameters]()

    def counted(hasher: argon2.PasswordHasher, hashed: str, password: str) -> bool:
        costs.append(argon2.extract_parameters(hashed))
        return verify(hasher, hashed, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    nobody = Member(carol.user_id, "nobody-at-all@corral.example", "")
    for member in (carol, nobody, await add_member(service, None)):
        assert (await sign_in_as(anonymous, member, OTHER_PASSWORD)).status == 401
    assert len(costs) == 3
    assert len(set(map(repr, costs))) == 1


async def test_an_unexpected_password_form_is_refused_without_a_verification(
    carol: Member, anonymous: ClientSession
) -> None:
    for password in ("", "x" * 1025, "half a surrogate \ud800"):
        body = b'{"email": "%b", "password": "%b"}' % (
            carol.email.encode(),
            password.encode("ascii", "backslashreplace"),
        )
        async with anonymous.post("/api/session", data=body, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 422
            assert (await answer.json())["code"] == "invalid_request"


COMMON = [
    "password1234", "P@ssw0rd1234", "123456789012", "qwertyuiop12", "iloveyou1234", "letmeinletmein", "abcabcabcabc",
    "1q2w3e4r5t6y", "Administrator", "alpaca123456", "corralcorral", "passwordpassword" * 60, "{name}2026!",
]  # fmt: skip


@pytest.mark.parametrize("password", COMMON, ids=range(len(COMMON)))
async def test_a_common_password_is_refused_with_a_sentence(
    service: Service, carol: Member, anonymous: ClientSession, password: str
) -> None:
    dave = await add_member(service, password=None)
    new = password.replace("{name}", dave.email.partition("@")[0])
    cookie = await sign_in_by_link(service, dave.user_id)
    async with (
        browser(service.url, cookie) as page,
        page.put("/api/me/password", json={"new_password": new}) as answer,
    ):
        reported = await answer.json()
    assert (answer.status, reported["code"]) == (422, "password_too_weak")
    assert "easy to guess" in reported["detail"]
    assert new not in reported["detail"]


async def test_rating_a_password_is_bounded_and_off_the_event_loop(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[tuple[int, str]] = []
    judge = zxcvbn.zxcvbn

    def noted(text: str, user_inputs: list[str]) -> Any:  # noqa: ANN401 - as the library says
        judged.append((len(text), threading.current_thread().name[:6]))
        return judge(text, user_inputs)

    monkeypatch.setattr(zxcvbn, "zxcvbn", noted)
    await passwords.refuse_weak(Secret("(4@8{[<369!1|705$+%2" * 51), "carol@corral.example")
    assert judged == [(32, "argon2")]
    for too_long in ("x1" * 513, "short"):
        with pytest.raises(PasswordTooWeak):
            await passwords.refuse_weak(Secret(too_long), "carol@corral.example")
    assert len(judged) == 1


async def test_requests_beyond_the_hashing_queue_are_refused_with_retry_after(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()
    monkeypatch.setattr(passwords, "_LONGEST_QUEUE", 1)
    monkeypatch.setattr(passwords, "_WORKERS", 2)
    under_way: set[asyncio.Future[bool]] = set()
    monkeypatch.setattr(passwords, "_under_way", under_way)

    def wait(_hashed: str, _password: str) -> bool:
        return may_end.wait(60)

    monkeypatch.setattr(passwords, "_verify", wait)
    vault, password = service.resources.vault, Secret("correct horse battery staple")
    in_line = [asyncio.ensure_future(passwords.is_password_of(vault, None, None, password)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as sent_away:
        await passwords.is_password_of(vault, None, None, password)
    assert sent_away.value.retry_after == 2
    may_end.set()
    assert await asyncio.gather(*in_line) == [False] * len(in_line)
