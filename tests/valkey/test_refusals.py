"""What an operator has to change is told at the start, in one sentence, and never shows the password."""

from pathlib import Path

import pytest

from corral.edge.certificate import TlsFiles
from corral.valkey.address import read_address
from corral.valkey.client import open_valkey
from corral.valkey.connection import refuse_unfit
from corral.valkey.errors import ValkeyRefused
from corral.vault import Vault
from tests.certificates import new_certificate
from tests.journeys.program import free_port
from tests.machine import OPENSSL
from tests.valkey.servers import Engine, Sentinel, Server

PASSWORD = "hunter2-of-the-test"
# As Redis 6.2 answers HELLO.
REDIS_6: list[object] = [
    *(b"server", b"redis", b"version", b"6.2.14", b"proto", 2, b"id", 3),
    *(b"mode", b"standalone", b"role", b"master", b"modules", []),
]


async def refusal(url: str, vault: Vault) -> str:
    with pytest.raises(ValkeyRefused) as refused:
        async with open_valkey(read_address(url), vault):
            pass
    text = str(refused.value)
    assert PASSWORD not in text
    assert "\n" not in text
    assert "CORRAL_VALKEY_URL" in text
    return text


async def test_a_cluster_is_refused(engine: Engine, tmp_path: Path, vault: Vault, patient: None) -> None:
    with Server(engine, tmp_path / "server", cluster_enabled="yes", cluster_port=str(free_port())) as server:
        assert "cluster mode disabled" in await refusal(server.url, vault)


async def test_a_sentinel_in_the_place_of_a_server_is_refused(
    engine: Engine, server: Server, tmp_path: Path, vault: Vault, patient: None
) -> None:
    with Sentinel(engine, tmp_path / "sentinel", server) as sentinel:
        assert "names a Sentinel" in await refusal(f"redis://127.0.0.1:{sentinel.port}", vault)


def test_an_older_redis_is_refused() -> None:
    with pytest.raises(ValkeyRefused, match="too old: Corral needs Valkey or Redis 7"):
        refuse_unfit(REDIS_6)


async def test_a_wrong_password_is_refused(server: Server, vault: Vault, patient: None) -> None:
    server.ask("ACL", "SETUSER", "corral", "on", ">right", "~*", "+@all")
    for login in (f"corral:{PASSWORD}", f":{PASSWORD}", f"nobody:{PASSWORD}"):
        text = await refusal(f"valkey://{login}@127.0.0.1:{server.port}", vault)
        assert "refuses the user or the password" in text


async def test_a_missing_password_is_refused(server: Server, vault: Vault, patient: None) -> None:
    server.ask("CONFIG", "SET", "requirepass", PASSWORD)
    assert "refuses the user or the password" in await refusal(server.url, vault)


@pytest.mark.parametrize("rights", [["~corral:1:*"], ["~else:*", "+@all"], ["~corral:1:*", "+eval", "+evalsha"]])
async def test_a_user_without_the_rights_is_refused(
    server: Server, vault: Vault, patient: None, rights: list[str]
) -> None:
    server.ask("ACL", "SETUSER", "corral", "on", f">{PASSWORD}", *rights)
    assert "give it the ACL" in await refusal(f"valkey://corral:{PASSWORD}@127.0.0.1:{server.port}", vault)


@OPENSSL.mark
async def test_the_certificate_is_checked(engine: Engine, tmp_path: Path, vault: Vault, patient: None) -> None:
    files = new_certificate(TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem"), "IP:127.0.0.1")
    other = new_certificate(TlsFiles(tmp_path / "o.pem", tmp_path / "k.pem"), "IP:127.0.0.1")
    cert, key, port = str(files.certificate), str(files.key), str(free_port())
    options = {"tls_port": port, "tls_cert_file": cert, "tls_key_file": key, "tls_ca_cert_file": cert}
    with Server(engine, tmp_path / "server", tls_auth_clients="no", **options):
        url = f"valkeys://127.0.0.1:{port}"
        async with open_valkey(read_address(f"{url}?cafile={cert}"), vault) as valkey:
            assert valkey.is_here, valkey.problem
        for wrong in (url, f"{url}?cafile={other.certificate}", f"valkeys://localhost:{port}?cafile={cert}"):
            assert "certificate is not accepted" in await refusal(wrong, vault)


async def test_an_authority_that_cannot_be_read_is_refused(vault: Vault, tmp_path: Path) -> None:
    missing = await refusal(f"valkeys://127.0.0.1:1?cafile={tmp_path}/none.pem", vault)
    assert "no such file" in missing.lower()
    (tmp_path / "empty.pem").write_text("")
    assert "no certificate" in await refusal(f"valkeys://127.0.0.1:1?cafile={tmp_path}/empty.pem", vault)
