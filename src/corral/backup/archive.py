"""The file: a ZIP archive with the manifest, its keyed hash, and the rows of each table as COPY writes them.

Any program that opens ZIP archives shows what is in it. Nothing of it is ever unpacked to a file, and nothing is read
beyond the size that the manifest says.
"""

import hashlib
import zipfile
import zlib
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final, Self, final

from corral.backup.files import opened_file
from corral.backup.manifest import Manifest, TableContent, believe, changed, manifest_verifier, read_manifest
from corral.backup.problems import FileUnusable, NotABackup
from corral.vault import Vault

_MANIFEST: Final = "manifest.json"
_VERIFIER: Final = "manifest.mac"
_LARGEST_MANIFEST: Final = 16 * 1024 * 1024
_VERIFIER_LENGTH: Final = 64
_CHUNK: Final = 256 * 1024

# What reading an archive raises that was cut off, changed, or never was one.
_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


@final
class ArchiveWriter:
    """Writes one table after the other, and then the manifest."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._zip = archive

    @classmethod
    @contextmanager
    def open(cls, file: BinaryIO) -> Generator[Self]:
        """What is not finished is closed without a word, because an error is on its way."""
        archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        try:
            yield cls(archive)
        finally:
            with suppress(FileUnusable):
                archive.close()

    @contextmanager
    def table(self, name: str) -> Generator["TableWriter"]:
        with self._zip.open(_member(name), "w", force_zip64=True) as member:
            yield TableWriter(member)

    def finish(self, vault: Vault, manifest: Manifest) -> None:
        text = manifest.to_text()
        self._zip.writestr(_MANIFEST, text)
        self._zip.writestr(_VERIFIER, manifest_verifier(vault, text).hex())
        self._zip.close()


@final
class TableWriter:
    """Takes the text of a table, and knows its size and digest."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member = member
        self._digest = hashlib.sha256()
        self._size = 0

    async def write(self, text: bytes) -> None:
        self._member.write(text)
        self._digest.update(text)
        self._size += len(text)

    def content(self, name: str, columns: Sequence[str], rows: int) -> TableContent:
        return TableContent(
            name=name, columns=tuple(columns), rows=rows, size=self._size, sha256=self._digest.hexdigest()
        )


@final
class Archive:
    """An opened backup. It stays open, so that what was verified is what is restored."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._zip = archive

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Generator[Self]:
        """Raises FileUnusable and NotABackup."""
        with opened_file(path) as file:
            try:
                archive = zipfile.ZipFile(file)
            except _UNREADABLE:
                raise NotABackup(f"{path} is not a backup of Corral, or was cut off: use another copy of it") from None
            with archive:
                yield cls(path, archive)

    def read_manifest(self, vault: Vault) -> Manifest:
        """Returns what the backup says of itself, once it is believed. Raises NotABackup."""
        text = self._small(_MANIFEST, _LARGEST_MANIFEST)
        manifest = read_manifest(text, self._path)
        try:
            verifier = bytes.fromhex(self._small(_VERIFIER, _VERIFIER_LENGTH))
        except ValueError:
            raise changed(self._path) from None
        believe(vault, manifest, text, verifier, self._path)
        expected = sorted([_MANIFEST, _VERIFIER, *(_member(table.name) for table in manifest.tables)])
        if sorted(self._zip.namelist()) != expected:
            raise changed(self._path)
        return manifest

    def verify(self, table: TableContent) -> Iterator[int]:
        """Reads a table to its end, and yields how many bytes more were read. Raises NotABackup."""
        for text in self._read(table):
            yield len(text)

    async def text_of(self, table: TableContent) -> AsyncGenerator[bytes]:
        """Yields the text of a table for COPY, and verifies it again. Raises NotABackup."""
        for text in self._read(table):
            yield text

    def _read(self, table: TableContent) -> Iterator[bytes]:
        digest, left = hashlib.sha256(), table.size
        try:
            with self._zip.open(_member(table.name)) as member:
                while text := member.read(min(_CHUNK, left + 1)):
                    digest.update(text)
                    left -= len(text)
                    if left < 0:
                        raise changed(self._path)
                    yield text
        except _UNREADABLE:
            raise changed(self._path) from None
        if left or digest.hexdigest() != table.sha256:
            raise changed(self._path)

    def _small(self, name: str, longest: int) -> str:
        try:
            with self._zip.open(name) as member:
                text = member.read(longest + 1)
            if len(text) > longest:
                raise changed(self._path)
            return text.decode()
        except KeyError:
            raise NotABackup(f"{self._path} is not a backup of Corral: it has no {name}") from None
        except _UNREADABLE:
            raise changed(self._path) from None


def _member(table: str) -> str:
    return f"tables/{table}.copy"
