"""The OpenAPI document says what the service does, and the service does what the document says."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.conftest import Service
from tests.operations import DOCUMENT, GUARDED, OPERATIONS, SCOPE_OF, Operation
from tests.people import Person, live_key, paper_key

Json = dict[str, Any]

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
_ACCOUNT_DATA = DOCUMENT["paths"]["/api/credentials/{credential_id}/account-data"]["get"]


async def test_the_served_document_is_openapi_3_1_and_the_one_that_the_command_prints(anonymous: ClientSession) -> None:
    async with anonymous.get("/openapi.json") as answer:
        assert answer.status == 200
        served = await answer.json()
    assert served == DOCUMENT
    assert served["openapi"].startswith("3.1.")


def _reported(operation: Operation) -> dict[str, str]:
    """Status and text of each problem that the document names."""
    responses: dict[str, Json] = operation.described["responses"]
    return {status: response["description"] for status, response in responses.items() if int(status) >= 400}


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_problem_is_documented_as_problem_json(operation: Operation) -> None:
    for status in _reported(operation):
        assert operation.described["responses"][status]["content"] == _PROBLEM


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_operation_documents_the_general_problems(operation: Operation) -> None:
    reported = _reported(operation)
    assert "`internal`" in reported["500"]
    assert {"400", "503"} <= reported.keys()
    if operation.ids or operation.has_body:
        assert "`invalid_request`" in reported["422"]


@pytest.mark.parametrize("operation", GUARDED, ids=str)
def test_every_guarded_operation_documents_the_problem_without_authentication(operation: Operation) -> None:
    reported = _reported(operation)
    assert "`unauthenticated`" in reported["401"]
    if operation.key in SCOPE_OF:
        assert "`insufficient_scope`" in reported["403"]
    if operation.ids:
        assert "_not_found`" in reported["404"]


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        ("400", ["credential_inactive"]),
        ("401", ["unauthenticated"]),
        ("403", ["insufficient_scope"]),
        ("404", ["credential_not_found"]),
        ("409", ["credential_refused"]),
        ("422", ["invalid_request"]),
        ("429", ["account_rate_limited"]),
        ("500", ["internal"]),
        ("502", ["upstream_failed"]),
        ("503", ["database_unavailable", "upstream_unavailable"]),
        ("504", ["upstream_timeout"]),
    ],
)
def test_account_data_names_every_outcome_of_its_contract(status: str, codes: list[str]) -> None:
    for code in codes:
        assert f"`{code}`" in _ACCOUNT_DATA["responses"][status]["description"]


def test_account_data_has_the_fields_of_its_contract_and_no_others() -> None:
    schema = DOCUMENT["components"]["schemas"]["AccountDataResponse"]
    money = {"balance", "equity", "buying_power"}
    flags = {"trading_blocked", "account_blocked", "pattern_day_trader"}
    others = {"account_type", "currency", "daytrade_count", "last_updated"}
    assert set(schema["properties"]) == money | flags | others
    assert {schema["properties"][name]["type"] for name in money} == {"string"}


def test_no_response_has_a_field_for_a_secret_except_that_of_a_new_token() -> None:
    schemas: dict[str, Json] = DOCUMENT["components"]["schemas"]
    bodies = {field for operation in OPERATIONS for field in [*operation.body_fields]}
    with_secrets = {
        name
        for name, schema in schemas.items()
        if {"token", "link", "api_key", "secret_key", "password", "current_password"}
        & set(schema.get("properties", {}))
    }
    handed_out = {"CreatedToken", "CreatedInvitation", "CreatedGrant", "RenewedGrant"}
    confirmed = {"PasswordChange", "PasswordConfirmation", "NewInvitation", "NewGrant", "GrantRenewal"}
    signing_in = {"SignIn", "LinkSignIn", "SetUp", "InvitationAcceptance", "Recovery"}
    assert with_secrets == {"NewCredential", "CredentialChange"} | handed_out | confirmed | signing_in
    assert {"api_key", "secret_key", "password", "token"} <= bodies
    for name in with_secrets - handed_out:
        for field in {"token", "api_key", "secret_key", "password", "current_password"} & set(
            schemas[name]["properties"]
        ):
            assert "writeOnly" in str(schemas[name]["properties"][field])


# Not asked: whether all that fits the schema is accepted, for Alpaca decides about keys.
_CHECKS = "--exclude-checks=positive_data_acceptance"
# A refusal may overtake the body that it refuses; the connection is reset then, and asked once more.
# Nor for the stream, whose answer has no end.
_STEADY = [
    "--exclude-path=/api/stream",
    "--generation-deterministic",
    "--continue-on-failure",
    "--request-retries=2",
    "--warnings=off",
    "--no-color",
]


async def _let_schemathesis_judge(service: Service, folder: Path, *options: str, token: str | None = None) -> None:
    header = ["--header", f"Authorization: Bearer {token}"] if token else []
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *["run", f"{service.url}/openapi.json", _CHECKS, *_STEADY, *header, *options],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,  # it leaves its notes where it runs
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b" passed" in output


async def test_valid_and_invalid_requests_never_cause_a_server_error(
    service: Service, alice: Person, tmp_path: Path
) -> None:
    await _let_schemathesis_judge(
        service, tmp_path, "--phases=coverage,fuzzing", "--max-examples=10", token=alice.token
    )


async def test_listed_ids_work_and_are_not_found_after_deletion(
    service: Service, alice: Person, tmp_path: Path
) -> None:
    for key_id in (paper_key(), live_key(), paper_key()):
        await alice.store(key_id)
    # It would revoke the very token that it uses.
    spared = "--exclude-path=/api/tokens/{token_id}"
    await _let_schemathesis_judge(
        service, tmp_path, "--phases=stateful", "--max-examples=10", spared, token=alice.token
    )


async def test_requests_without_authentication_get_the_documented_response(service: Service, tmp_path: Path) -> None:
    await _let_schemathesis_judge(service, tmp_path, "--phases=coverage", "--mode=positive")
