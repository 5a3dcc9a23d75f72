"""`corral doctor`: a line for each check, and for what is wrong the way out."""

from pathlib import Path

from corral.database.connection import open_owner_connection
from corral.vault import make_keyring
from tests.conftest import Service
from tests.journeys.program import corral, free_port
from tests.people import Person
from tests.valkey.servers import Server

CHECKS = [
    "the database is reachable",
    "the database accepts writes",
    "the database role cannot bypass row-level security",
    "every table forces row-level security, and nothing in the schema was changed",
    "one test tenant cannot reach another's rows",
    "this machine's clock agrees with the database's",
    "the audit trail takes entries",
    "the keyring opens every stored key",
    "Alpaca's paper host is reachable",
    "Alpaca's live host is reachable",
]


async def test_a_working_installation_passes_every_check(
    alice: Person, service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    await alice.store()
    examined = await corral("doctor", **on_the_runs_database, **against_sandbox)
    assert (examined.status, examined.err) == (0, "")
    assert examined.out.splitlines() == [f"✓ {check}" for check in CHECKS]


async def test_only_a_replaced_keyring_and_an_unreachable_alpaca_are_reported(
    folder: Path, service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    make_keyring(folder / "another.json")
    wrong = {"keyring": f"file:{folder / 'another.json'}", "alpaca_live_url": f"http://127.0.0.1:{free_port()}"}
    examined = await corral("doctor", **{**on_the_runs_database, **against_sandbox, **wrong})
    assert "2 checks failed" in examined.only_complaint
    reported = [line for line in examined.out.splitlines() if line.startswith("✗")]
    assert len(reported) == 2
    assert "belongs to another database" in reported[0]
    assert reported[1].startswith("✗ Alpaca's live host is reachable: ")
    assert examined.out.count("✓") == len(CHECKS) - 2


async def test_valkey_is_checked_where_it_is_named(
    folder: Path, service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    settings = {**on_the_runs_database, **against_sandbox}
    check = "Valkey takes writes, and its user may do what Corral does"
    with Server("valkey", folder / "valkey") as server:
        examined = await corral("doctor", **settings, valkey_url=server.url)
        assert f"✓ {check}\n" in examined.out
        server.ask("CONFIG", "SET", "maxmemory", "1")
        examined = await corral("doctor", **settings, valkey_url=server.url)
        assert f"✗ {check}: it is full: see its maxmemory" in examined.out
        wrong = f"valkey://corral:hunter2@127.0.0.1:{server.port}"
        examined = await corral("doctor", **settings, valkey_url=wrong)
        assert f"✗ {check}: Valkey at CORRAL_VALKEY_URL cannot be used: it refuses the user" in examined.out
        assert "hunter2" not in examined.out + examined.err
    examined = await corral("doctor", **settings, valkey_url=f"valkey://127.0.0.1:{free_port()}")
    assert "no connection to it (connection refused); until then each process works alone" in examined.out


async def test_without_the_owner_s_address_it_says_which_setting_it_needs(
    service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    settings = {**on_the_runs_database, **against_sandbox}
    del settings["database_owner_url"]
    examined = await corral("doctor", **settings)
    assert "2 checks failed" in examined.only_complaint
    for check in ("the audit trail takes entries", "the keyring opens every stored key"):
        assert f"✗ {check}: set CORRAL_DATABASE_OWNER_URL" in examined.out


async def test_a_row_that_does_not_open_is_named(
    alice: Person, service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    await alice.store()  # the oldest row is the sample by which a whole keyring is judged, and that is another matter
    credential = await alice.store()
    from_paper_to_live = "UPDATE corral.credentials SET credential_type = 'live' WHERE id::text = $1"
    assert service.services.addresses.owner is not None
    async with open_owner_connection(service.services.addresses.owner) as connection:
        await connection.execute(from_paper_to_live, credential["id"])
        examined = await corral("doctor", **on_the_runs_database, **against_sandbox)
        await connection.execute("DELETE FROM corral.credentials WHERE id::text = $1", credential["id"])
    finding = f"these credentials do not open; store their keys again: {credential['id']}"
    assert f"✗ the keyring opens every stored key: {finding}" in examined.out


async def test_variables_that_change_trust_and_unused_proxies_are_named(
    folder: Path, service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    settings = {**on_the_runs_database, **against_sandbox}
    (folder / "authorities.pem").touch()
    named = {"SSL_CERT_FILE": folder / "authorities.pem", "SSL_CERT_DIR": folder, "HTTPS_PROXY": "http://a:hunter2@b"}
    examined = await corral("doctor", **settings, **named, PGSSLMODE="disable")
    assert (examined.status, examined.err) == (0, "")
    trust = f"SSL_CERT_FILE={folder}/authorities.pem, SSL_CERT_DIR={folder}, PGSSLMODE=disable"
    assert examined.out.splitlines() == [
        f"✓ trusted certificates are changed by {trust}",
        *(f"✓ {check}" for check in CHECKS[:8]),
        "✓ no proxy is used: HTTPS_PROXY is set but ignored; set CORRAL_ALPACA_PROXY instead",
        *(f"✓ {check}" for check in CHECKS[8:]),
    ]


async def test_a_missing_certificate_file_or_folder_is_reported(
    folder: Path, service: Service, on_the_runs_database: dict[str, str], against_sandbox: dict[str, str]
) -> None:
    wrong = {"SSL_CERT_FILE": folder / "none.pem", "SSL_CERT_DIR": folder / "none"}
    examined = await corral("doctor", **on_the_runs_database, **against_sandbox, **wrong)
    assert "1 check failed" in examined.only_complaint
    reported = examined.out.splitlines()[0]
    assert reported.startswith("✗ trusted certificates are changed by SSL_CERT_FILE=")
    assert f"SSL_CERT_FILE is set to {folder}/none.pem, which is not a readable file" in reported
    assert f"SSL_CERT_DIR is set to {folder}/none, which is not a folder" in reported
