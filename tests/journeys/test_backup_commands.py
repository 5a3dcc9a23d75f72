"""What `corral backup` and `corral restore` refuse, and what they leave when they are interrupted."""

import re
import signal
from pathlib import Path

from corral.database.embedded.replacement import STAGING
from corral.vault import make_keyring
from tests.backup.installations import fill, installation
from tests.journeys.backing_up import BOB, CAROL, add_people, is_kept, names_in, reached
from tests.journeys.clusters import ExternalPostgres
from tests.journeys.program import Ended, corral, running


async def test_what_a_backup_refuses_is_one_sentence(data: Path, folder: Path) -> None:
    taken = folder / "taken"
    taken.write_text("precious")
    nothing = folder / "nothing"
    for arguments, sentence in (
        (("backup", taken), f"{taken} exists already: choose another name, or move it"),
        (("backup", folder), f"{folder} is a folder: name a file in it"),
        (("backup", folder / "none" / "x"), f"{folder / 'none' / 'x'} cannot be written: there is no folder"),
        (("backup", folder / "x", "--keyring", folder / "x"), "the keyring cannot be in the same file as the backup"),
        (("backup", folder / "x", "--keyring", taken), f"{taken} exists already"),
        (("backup", folder / "x", "--data-dir", nothing), f"there is no data in {nothing}: name the folder with"),
        (("restore", folder / "x"), f"{folder / 'x'} cannot be read: no such file or directory"),
        (("restore", taken), f"{taken} is not a backup of Corral, or was cut off: use another copy of it"),
    ):
        refused = await corral(*arguments, **({} if "--data-dir" in arguments else {"data_dir": data}))
        assert refused.only_complaint.startswith(sentence), refused
        assert refused.out == ""
    assert taken.read_text() == "precious"
    assert names_in(folder) == {"data", "taken"}


async def test_what_a_restore_refuses_changes_nothing(
    data: Path, folder: Path, against_sandbox: dict[str, str]
) -> None:
    settings = {**against_sandbox, "data_dir": str(data)}
    await add_people(settings)
    file = folder / "corral.backup"
    assert (await corral("backup", file, **settings)).status == 0

    def refusal(ended: Ended) -> str:
        assert ended.out == ""
        return ended.only_complaint

    assert refusal(await corral("restore", file, **settings)).startswith(f"there are people in {data}: choose an empty")
    assert "there is no keyring at" in refusal(await corral("restore", file, data_dir=folder / "new"))
    async with running("serve", **settings) as server:
        await server.url()
        assert "Another corral serve" in refusal(await corral("restore", file, "--replace", **settings))
        assert await server.stop() == 0
    (data / "SANDBOX").touch()
    assert "contains the demo's SANDBOX data" in refusal(await corral("restore", file, **settings))
    (data / "SANDBOX").unlink()
    (data / "postgres" / "global" / "pg_control").write_bytes(b"")
    assert "cannot be looked into" in refusal(await corral("restore", file, **settings))
    replaced = await corral("restore", file, "--replace", **settings)
    assert replaced.status == 0, replaced
    assert BOB in (await corral("users", "list", **settings)).out


async def test_a_restore_that_is_killed_leaves_the_data_as_it_was_and_the_next_start_says_so(
    data: Path, folder: Path, against_sandbox: dict[str, str]
) -> None:
    """Killed while the second cluster is being made, and again while it runs."""
    settings = {**against_sandbox, "data_dir": str(data)}
    await add_people(settings)
    file, staging = folder / "corral.backup", data / STAGING
    assert (await corral("backup", file, **settings)).status == 0
    assert (await corral("users", "add", CAROL, **settings)).status == 0
    for moment in (staging.exists, (staging / "postgres" / "postmaster.pid").exists):
        async with running("restore", file, "--replace", **settings) as restoring:
            await reached(moment, restoring)
            restoring.process.kill()
            assert await restoring.ends() == -signal.SIGKILL
        listed = await corral("users", "list", **settings)
        assert CAROL in listed.out, listed
        assert "restore broken off" in listed.err
        assert STAGING not in names_in(data)
        assert not is_kept(data)
    assert (await corral("restore", file, "--replace", **settings)).status == 0
    assert CAROL not in (await corral("users", "list", **settings)).out


async def test_ctrl_c_ends_backup_and_restore_in_order(
    data: Path, folder: Path, against_sandbox: dict[str, str]
) -> None:
    settings = {**against_sandbox, "data_dir": str(data)}
    await add_people(settings)
    file, staging = folder / "corral.backup", data / STAGING
    async with running("backup", file, **settings) as writing:
        await reached(lambda: any(name.endswith(".partial") for name in names_in(folder)), writing)
        assert await writing.stop(signal.SIGINT) == 1
        assert writing.err == "corral: interrupted\n"
    assert names_in(folder) == {"data"}
    assert (await corral("backup", file, **settings)).status == 0
    async with running("restore", file, "--replace", **settings) as restoring:
        await reached(staging.exists, restoring)
        assert await restoring.stop(signal.SIGINT) == 1
        assert restoring.err == "corral: interrupted\n"
    assert STAGING not in names_in(data)
    assert not is_kept(data)
    assert BOB in (await corral("users", "list", **settings)).out


async def test_the_commands_on_a_server_of_one_s_own(
    oldest_postgres: ExternalPostgres, folder: Path, against_sandbox: dict[str, str]
) -> None:
    async with (
        installation(oldest_postgres, folder / "here") as here,
        installation(oldest_postgres, folder / "there", migrated=False) as there,
    ):
        file, copy = folder / "corral.backup", folder / "copy.json"
        ours, theirs = against_sandbox | here.settings, against_sandbox | there.settings
        make_keyring(here.keyring)
        make_keyring(there.keyring)
        never = await corral("backup", file, **ours)
        assert never.only_complaint == "this database has never been served, so there is nothing to back up"
        empty = await corral("backup", file, **theirs)
        assert empty.only_complaint == "there is no data in this database: check which one the settings name"
        here.keyring.unlink()
        await fill(here)
        await here.execute(
            "INSERT INTO corral.users (id, email) SELECT gen_random_uuid(), 'more-' || i || '@corral.example' "
            "FROM generate_series(1, 60) i"
        )
        await here.execute("UPDATE corral.credentials SET api_key_sealed = secret_key_sealed WHERE ctid = '(0,2)'")
        assert (await corral("backup", file, "--keyring", copy, **ours)).status == 0
        for command, target in (("backup", folder / "another"), ("restore", file)):
            await assert_needs_the_owner(command, target, ours)
        foreign = await corral("restore", file, **theirs)
        assert foreign.only_complaint.startswith(f"the keyring does not belong to {file}, a backup of ")
        another = await corral("restore", file, "--keyring", copy, **theirs)
        assert "may open other data: with --replace it is kept beside" in another.only_complaint
        restored = await corral("restore", file, "--keyring", copy, "--replace", **theirs)
        assert restored.status == 0, restored
        assert "Restored 62 people and 2 accounts, as of" in restored.out
        assert "1 of the accounts had keys that could not be decrypted: `corral doctor` lists them." in restored.out
        assert re.search(r"The keyring from before is kept in \S+keyring\.json\.before-restore-", restored.out)
        assert "  and 12 more: `corral users list` shows everyone" in restored.out
        async with running("serve", **ours) as server:
            await server.url()
            assert "corral_app is connected" in (await corral("restore", file, "--replace", **ours)).only_complaint
            assert await server.stop() == 0
        assert "there are people in this database" in (await corral("restore", file, **ours)).only_complaint
        again = await corral("restore", file, "--replace", **ours)
        assert "is kept in the schema corral_before_restore_" in again.out, again
        apart = {name: value for name, value in ours.items() if name != "database_owner_url"}
        async with running("serve", **apart) as server:
            await server.url()
            assert await server.stop() == 0
            assert "removed" not in server.out
        async with running("serve", **ours) as server:
            assert await server.says(r"removed  (corral_before_restore_\S+), the data from before")
            assert await server.stop() == 0


async def assert_needs_the_owner(command: str, file: Path, settings: dict[str, str]) -> None:
    apart = {name: value for name, value in settings.items() if name != "database_owner_url"}
    ended = await corral(command, file, **apart)
    assert ended.only_complaint.startswith("set CORRAL_DATABASE_OWNER_URL: only the database's owner")
    wrong = await corral(command, file, **{**apart, "database_owner_url": apart["database_url"]})
    assert wrong.only_complaint.startswith(
        ("CORRAL_DATABASE_OWNER_URL does not connect as the owner: ", "the database does not show its owner every row")
    )
