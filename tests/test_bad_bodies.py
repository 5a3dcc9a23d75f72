"""Bodies that no program should send: a clear answer, nothing stored, and nothing of them in the log."""

import io
import json
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.database.embedded.instance import EmbeddedDatabase
from corral_sandbox import secret_of
from tests.access import fingerprints, owner_of
from tests.conftest import Service
from tests.log_lines import LogSince
from tests.people import Person, key_pair, paper_key

JSON = {"Content-Type": "application/json"}


def _canary() -> str:
    """A value that is found again wherever it got to. It does not look like a key, so no net cuts it out."""
    return "canary" + secrets.token_hex(6)


@pytest.fixture
async def owner(postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    async with owner_of(postgres) as connection:
        yield connection


@pytest.fixture
def log(log_file: Path) -> LogSince:
    return LogSince(log_file)


class Witness:
    """Sends to POST /api/credentials, and sees that nothing came of it but the answer."""

    def __init__(self, client: ClientSession, owner: asyncpg.Connection, log: LogSince) -> None:
        self._client = client
        self._owner = owner
        self._log = log

    async def refusal(
        self, body: str | bytes | io.BytesIO, canary: str, headers: dict[str, str] = JSON
    ) -> tuple[int, str]:
        before = await fingerprints(self._owner)
        async with self._client.post("/api/credentials", data=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.content_type == "application/problem+json"
        assert canary not in text
        assert canary not in self._log.text()
        assert await fingerprints(self._owner) == before
        return answer.status, json.loads(text)["code"]


@pytest.fixture
async def witness(alice: Person, owner: asyncpg.Connection, log: LogSince) -> Witness:
    return Witness(alice.client, owner, log)


def _body(**changes: object) -> str:
    return json.dumps({"nickname": "mine", **key_pair(paper_key()), **changes})


async def test_the_body_that_the_others_are_derived_from_is_valid(alice: Person) -> None:
    async with alice.client.post("/api/credentials", data=_body(), headers=JSON) as answer:
        assert answer.status == 201


@pytest.mark.parametrize("form", ['["{}"]', '"{}"', '{{"nickname": "{}"}}', "null", "12", "true", "{{}}", '[[["{}"]]]'])
async def test_a_body_of_another_form_is_refused(witness: Witness, form: str) -> None:
    canary = _canary()
    assert await witness.refusal(form.format(canary), canary) == (422, "invalid_request")


@pytest.mark.parametrize(
    "unknown", [{"user_id": "{}"}, {"base_url": "https://{}.example"}, {"is_admin": True, "x": "{}"}]
)
async def test_unknown_fields_are_refused(witness: Witness, unknown: dict[str, object]) -> None:
    canary = _canary()
    fields = {name: str(value).format(canary) for name, value in unknown.items()}
    assert await witness.refusal(_body(**fields), canary) == (422, "invalid_request")


async def test_a_secret_in_the_place_of_a_fields_name_is_not_repeated(alice: Person, witness: Witness) -> None:
    for secret in (alice.token, paper_key(), secret_of(paper_key())):
        assert await witness.refusal(_body(**{secret: ""}), secret) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("form", "code"),
    [
        *((form, "invalid_request") for form in ("PK {}", "PK{}\r\nHost: elsewhere", "PK{}\0", "PKé{}", "PK{}\u2028")),
        *((form, "keys_refused") for form in ("PK{}\n", "\tPK{}")),  # the blank is removed, and Alpaca is asked
    ],
)
@pytest.mark.parametrize("field", ["api_key", "secret_key"])
async def test_a_key_that_could_end_a_header_never_gets_into_one(
    witness: Witness, form: str, code: str, field: str
) -> None:
    canary = _canary()
    assert await witness.refusal(_body(**{field: form.format(canary)}), canary) == (422, code)


@pytest.mark.parametrize("value", ["", "{}\ud800", "{}" + "x" * 1024, 12, None, ["{}"], {"{}": 1}, True])
@pytest.mark.parametrize("field", ["api_key", "secret_key"])
async def test_an_impossible_key_is_refused(witness: Witness, value: object, field: str) -> None:
    canary = _canary()
    sent = json.dumps({"nickname": "mine", **key_pair(paper_key()), field: value}).replace("{}", canary)
    assert await witness.refusal(sent, canary) == (422, "invalid_request")


@pytest.mark.parametrize(
    "nickname",
    [
        *("{}\0", "{}\nforged line", "{}\rx", "{}\x1b[31m", "{}\x7f", "{}\u202e", "{}\u200b", "{}\u2028x", "{}\ud83d"),
        *("{}".ljust(85, "x"), "", " ", " \t ", "\u00a0", "\u3000", 5, None, ["{}"]),
    ],
)
async def test_a_nickname_that_would_mislead_is_refused(witness: Witness, nickname: object) -> None:
    canary = _canary()
    assert len(canary) == 18
    assert await witness.refusal(_body(nickname=nickname).replace("{}", canary), canary) == (422, "invalid_request")


@pytest.mark.parametrize(
    "nickname", ["Müllers Depot", "日本株", "💰", "Ротация", "x" * 100, "💰" * 100, "a'b\"c<d>&e;--"]
)
async def test_a_nickname_in_any_script_is_returned_unchanged(alice: Person, nickname: str) -> None:
    credential = await alice.store(nickname=f" {nickname} ")
    async with alice.client.get(f"/api/credentials/{credential['id']}") as answer:
        assert (await answer.json())["nickname"] == nickname


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "application/jsonp"],
)
async def test_another_media_type_than_json_is_refused(witness: Witness, media_type: str) -> None:
    canary = _canary()
    refusal = await witness.refusal(_body(nickname=canary), canary, {"Content-Type": media_type})
    assert refusal == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "broken",
    [
        *(b"", b"{", b"%b", b"'%b'", b"{}\x00%b", b'{"nickname": "%b"', b'{"nickname": "%b\xff\xfe"}'),
        *(b"[" * 30_000, b'{"%b":' * 2_000, b'{"nickname": ' + b"9" * 5_000 + b"}", b'\xef\xbb\xbf{"nickname": "%b"'),
    ],
)
async def test_invalid_json_is_refused(witness: Witness, broken: bytes) -> None:
    canary = _canary()
    status, code = await witness.refusal(broken.replace(b"%b", canary.encode()), canary)
    assert (status, code) == ((422, "invalid_request") if not broken else (400, "malformed_request"))


@pytest.mark.parametrize(
    "number", ["1e40000000", "-1e40000000", "NaN", "Infinity", "123456789012345678901234567890", "0.123456789012"]
)
async def test_a_number_is_no_name(witness: Witness, number: str) -> None:
    # Long enough not to stand by chance in a time or an id of the log.
    body = _body(nickname="?").replace('"?"', number)
    assert await witness.refusal(body, number) == (422, "invalid_request")


async def test_a_large_body_is_refused_before_it_is_read(witness: Witness) -> None:
    canary = _canary()
    ten_megabytes = io.BytesIO(_body(nickname=canary * 600_000).encode())
    assert await witness.refusal(ten_megabytes, canary) == (413, "body_too_large")


async def test_a_large_body_of_unknown_length_is_refused_while_it_arrives(service: Service, alice: Person) -> None:
    async def parts() -> AsyncGenerator[bytes]:
        yield b'{"nickname": "'
        for _ in range(200):
            yield b"x" * 1024

    async with alice.client.post("/api/credentials", data=parts(), headers=JSON) as answer:
        assert answer.status == 413


async def test_one_key_without_the_other_is_refused(alice: Person) -> None:
    credential = await alice.store()
    key_id = paper_key()
    for half in ({"api_key": key_id}, {"secret_key": secret_of(key_id)}):
        async with alice.client.patch(f"/api/credentials/{credential['id']}", json=half) as answer:
            assert answer.status == 422
            assert key_id not in await answer.text()


@pytest.mark.parametrize("path", ["/api/session", "/api/session/link", "/api/setup", "/api/invitation"])
async def test_requests_without_authentication_are_validated_in_the_same_way(
    path: str, anonymous: ClientSession, owner: asyncpg.Connection, log: LogSince
) -> None:
    canary = _canary()
    before = await fingerprints(owner)
    fields = ({"email": canary}, {"password": canary}, {"token": [canary]}, {"email": "a@b", "x": canary})
    for body in (canary, [canary], None, *fields, {"email": "a@b", "password": f"{canary}\ud800", "token": "\ud800"}):
        async with anonymous.post(path, data=json.dumps(body), headers=JSON) as answer:
            assert answer.status == 422
            assert canary not in await answer.text()
    assert canary not in log.text()
    assert await fingerprints(owner) == before


async def test_a_logged_value_would_be_found_in_the_log(
    log: LogSince, service: Service, anonymous: ClientSession
) -> None:
    canary = _canary()
    async with anonymous.get(f"/{canary}") as answer:
        assert answer.status == 404
    assert canary in log.text()
