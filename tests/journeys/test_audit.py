"""`corral audit verify` on an installation: its database, an export, and what somebody cut off."""

import asyncio
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

from aiohttp import ClientSession

from corral.audit.chain import EMPTY, extend_chain
from corral.database.connection import open_owner_connection
from corral.database.embedded.instance import embedded_postgres
from corral.vault import Vault, load_keyring
from tests.audit.trails import paused
from tests.journeys.program import corral, running

EMAIL = "bob@corral.example"
CUT_OFF = """
ALTER TABLE corral.audit_entries DISABLE TRIGGER USER; ALTER TABLE corral.audit_heads DISABLE TRIGGER USER;
DELETE FROM corral.audit_entries WHERE seq > 1;
UPDATE corral.audit_heads h SET seq = 1, mac = (SELECT e.mac FROM corral.audit_entries e WHERE e.user_id = h.user_id);
ALTER TABLE corral.audit_entries ENABLE TRIGGER USER; ALTER TABLE corral.audit_heads ENABLE TRIGGER USER;
"""


async def test_trails_are_verified_in_the_database_and_as_a_file(
    data: Path, folder: Path, against_sandbox: dict[str, str]
) -> None:
    settings, export = {"data_dir": data, **against_sandbox}, folder / "audit.jsonl"
    verify = partial(corral, "audit", "verify", **settings)
    async with embedded_postgres(data) as database:  # so that not every command starts and stops it
        assert (await corral("users", "add", EMAIL, **settings)).status == 0
        for name in ("first", "second"):
            made = await corral("tokens", "create", EMAIL, "--name", name, "--scope", "audit:read", **settings)
        verified = await verify()
        assert (verified.status, verified.err) == (0, "")
        assert verified.out.splitlines() == [f"! {EMAIL}: not anchored at all", "✓ 1 audit trail with 2 entries: whole"]
        async with running("serve", **settings) as server:
            await _export(await server.url(), made.out.strip(), export)
            assert await server.stop() == 0
        for file in ((), (export,)):
            verified = await verify(*file)
            whole = "✓ 1 audit trail with 2 entries: whole, all of them anchored by published heads"
            assert (verified.status, verified.out.strip()) == (0, whole)
        async with open_owner_connection(database.dsn("corral_owner")) as owner:
            await owner.execute(CUT_OFF)
        broken = await verify()
    assert broken.only_complaint == "1 of 1 audit trail is broken: see the lines marked ✗"
    assert broken.out.strip() == f"✗ {EMAIL}: entry 2 is missing at the end: a later head was published"


async def test_a_file_is_verified_without_a_database(data: Path, folder: Path) -> None:
    keyring = data / "keyring.json"
    vault, user_id = Vault(load_keyring(keyring)), UUID(int=1)
    links = list(extend_chain(vault, user_id, EMPTY, datetime(2026, 11, 24, tzinfo=UTC), paused(3)))
    about = {"corral_audit_export": 1, "user_id": str(user_id), "last_seq": 3, "last_mac": links[-1].mac.hex()}
    lines = [json.dumps(about), *(f'{{"mac":"{link.mac.hex()}","entry":{link.body}}}' for link in links), ""]
    export, other = folder / "audit.jsonl", folder / "other"
    export.write_text("\n".join(lines))
    verify = partial(corral, "audit", "verify", data_dir=folder / "none", keyring=f"file:{keyring}")
    verified = await verify(export)
    assert (verified.status, verified.out.splitlines()[-1]) == (0, "✓ 1 audit trail with 3 entries: whole")
    export.write_text("\n".join(lines).replace("paused", "resumed", 2))
    assert (await verify(export)).out.strip() == f"✗ {user_id}: entry 1 was changed, or is of another keyring"
    assert (await verify(export, "--heads", other)).only_complaint == f"there is no file {other}"
    assert (await verify(export, "--heads", folder)).only_complaint == f"{folder} cannot be read: Is a directory"
    assert (await verify(other)).only_complaint == f"{other} cannot be read: No such file or directory"


async def _export(url: str, token: str, file: Path) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with ClientSession(url, headers=headers) as client, client.get("/api/audit.jsonl") as answer:
        await asyncio.to_thread(file.write_bytes, await answer.read())
