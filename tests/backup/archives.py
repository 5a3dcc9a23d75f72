"""Backups made up without a database, to be damaged."""

import zipfile
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from corral.backup.archive import Archive, ArchiveWriter
from corral.backup.manifest import Manifest, TableContent, keyring_probe, manifest_verifier
from corral.vault import Vault

MOMENT = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
TABLES: Mapping[str, bytes] = {
    "users": b"1\talice@corral.example\n2\tbob@corral.example\n",
    "credentials": b"".join(b"%d\t\\\\x%064x\n" % (number, number) for number in range(40)),
    "empty": b"",
}


async def make_archive(path: Path, vault: Vault, tables: Mapping[str, bytes] = TABLES, **changes: Any) -> None:  # noqa: ANN401 - any field
    """`changes` are fields of the manifest that are written otherwise, and then signed."""
    with path.open("wb") as file, ArchiveWriter.open(file) as archive:
        contents = [await _write(archive, name, text) for name, text in tables.items()]
        backup_id: UUID = uuid4()
        manifest = Manifest(
            id=backup_id,
            postgresql="18.4",
            taken_at=MOMENT,
            migrations=("0001_people_and_credentials",),
            tables=tuple(contents),
            sequences=(),
            keyring=keyring_probe(vault, backup_id),
        )
        archive.finish(vault, manifest.model_copy(update=changes))


async def _write(archive: ArchiveWriter, name: str, text: bytes) -> TableContent:
    with archive.table(name) as writer:
        await writer.write(text)
        return writer.content(name, ("id", "text"), text.count(b"\n"))


def read_archive(path: Path, vault: Vault) -> dict[str, bytes]:
    """Everything that a restore would read."""
    with Archive.open(path) as archive:
        manifest = archive.read_manifest(vault)
        for table in manifest.tables:
            assert sum(archive.verify(table)) == table.size
        return {table.name: _joined(archive.text_of(table)) for table in manifest.tables}


def _joined(texts: AsyncGenerator[bytes]) -> bytes:
    """Waits for nothing, as what is read from a file does."""
    parts: list[bytes] = []
    while True:
        try:
            texts.__anext__().send(None)
        except StopIteration as part:
            parts.append(part.value)
        except StopAsyncIteration:
            return b"".join(parts)


def rewrite(path: Path, members: Mapping[str, bytes | None], vault: Vault | None = None) -> None:
    """Writes members anew, with the right checksums, as someone with a ZIP program does; None leaves one out.

    With a vault, the manifest is signed again.
    """
    with zipfile.ZipFile(path) as archive:
        texts = {name: archive.read(name) for name in archive.namelist()}
    for name, text in members.items():
        if text is None:
            del texts[name]
        else:
            texts[name] = text
    if vault is not None:
        texts["manifest.mac"] = manifest_verifier(vault, texts["manifest.json"].decode()).hex().encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
