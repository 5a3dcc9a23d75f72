"""A restore into a data folder: a second cluster beside the first, checked before they change places."""

from pathlib import Path

import pytest

from corral.backup.archive import Archive
from corral.backup.former import remove_former_clusters
from corral.backup.keyring_copy import choose_keyring
from corral.backup.problems import RestoreRefused
from corral.backup.targets import Restoration, RestoreOutcome, restore_embedded
from corral.database.connection import open_owner_connection
from corral.database.embedded.instance import embedded_postgres
from corral.database.embedded.replacement import STAGING
from corral.vault import Vault, make_keyring
from tests.backup.installations import Installation
from tests.migrated_cluster import copy_migrated_cluster


@pytest.fixture
async def data(open_folder: Path, migrated_cluster: Path) -> Path:
    """A data folder after a first start: a cluster without people, and a keyring."""
    await copy_migrated_cluster(migrated_cluster, open_folder)
    make_keyring(open_folder / "keyring.json")
    return open_folder


async def restore(here: Installation, data: Path, *, may_replace: bool) -> RestoreOutcome:
    chosen = choose_keyring(data / "keyring.json", here.keyring, may_replace=may_replace)
    with Archive.open(here.folder / "corral.backup") as archive:
        manifest = archive.read_manifest(Vault(chosen.keyring))
        restoration = Restoration(archive, manifest, chosen, may_replace=may_replace, advance=lambda _: None)
        return await restore_embedded(data, restoration)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_cluster_without_people_is_put_aside_and_removed_after_the_first_start(
    here: Installation, data: Path
) -> None:
    (data / "keyring.json").unlink()
    outcome = await restore(here, data, may_replace=False)
    assert outcome.kept is not None
    assert Path(outcome.kept).name in names_in(data)
    assert outcome.kept_keyring is None
    assert await remove_former_clusters(data) == [Path(outcome.kept).name]
    assert await remove_former_clusters(data) == []
    async with embedded_postgres(data) as database:
        assert database.port
    assert (data / "keyring.json").read_bytes() == here.keyring.read_bytes()


async def test_a_database_that_does_not_isolate_people_does_not_take_the_place_of_the_former(
    here: Installation, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check itself is tested elsewhere."""

    async def found(_: object) -> list[str]:
        return ["one tenant reads another's rows"]

    before, keyring = names_in(data), (data / "keyring.json").read_bytes()
    monkeypatch.setattr("corral.backup.targets.find_weaknesses", found)
    with pytest.raises(RestoreRefused, match="does not isolate people: one tenant reads another"):
        await restore(here, data, may_replace=True)
    assert names_in(data) - {"run", "serve.lock", "start.lock", "use.lock"} == before
    assert (data / "keyring.json").read_bytes() == keyring
    assert STAGING not in names_in(data)


async def test_the_former_keyring_is_kept_beside(here: Installation, data: Path) -> None:
    former = (data / "keyring.json").read_bytes()
    outcome = await restore(here, data, may_replace=True)
    assert outcome.kept_keyring is not None
    assert outcome.kept_keyring.name.startswith("keyring.json.before-restore-")
    assert outcome.kept_keyring.read_bytes() == former


async def test_the_former_data_works_again_under_its_old_name(here: Installation, data: Path) -> None:
    outcome = await restore(here, data, may_replace=True)
    assert outcome.kept is not None
    for people, folder in ((2, data / "postgres"), (0, Path(outcome.kept))):
        folder.rename(data / "postgres")
        async with (
            embedded_postgres(data) as database,
            open_owner_connection(database.dsn("corral_owner")) as owner,
        ):
            assert await owner.fetchval("SELECT count(*) FROM corral.users") == people
        (data / "postgres").rename(data / f"with {people}")
