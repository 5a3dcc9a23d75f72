"""Static files travel compressed. Pages and answers never do: their length would tell what is in them (BREACH)."""

import gzip
import re
from pathlib import Path

import pytest
from aiohttp import ClientSession
from fastapi.routing import iter_route_contexts

from corral.app import create_api
from corral.web.content_codings import accepts_gzip, matches
from corral.web.static_files import STATIC_FILES, STATIC_PATH, read_static_files
from tests.conftest import Service
from tests.identity.members import make_administrator
from tests.people import Person
from tests.web.page_ids import ids_of
from tests.web.page_paths import PAGES, UNKNOWN_ID, filled_in
from tests.web.parsed_html import Parsed

_STYLES = "styles/components.css"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_ANY = {"Accept-Encoding": "gzip, deflate, br, zstd"}
_PLAIN = {"Accept-Encoding": "identity"}
_API_PATHS = [
    route.path
    for route in iter_route_contexts(create_api().routes)
    if route.path and route.path.startswith("/api/") and "GET" in (route.methods or ())
]


@pytest.mark.parametrize(
    ("accepted", "is_taken"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip; q=0", False),
        ("gzip;q=0, *;q=1", False),
        ("gzip;q=0.001", True),
        ("gzip;q=0.5, identity;q=1", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("identity;q=0, gzip", True),
        ("identity", False),
        ("deflate", False),
        ("gzipped", False),
        ("gzip;q=", False),
        ("gzip;q=nan", False),
        ("gzip;q=2", False),
        ("gzip;level=9", True),
        (",,;,", False),
    ],
)
def test_gzip_is_sent_only_where_it_is_accepted(accepted: str | None, is_taken: bool) -> None:  # noqa: FBT001
    assert accepts_gzip(accepted) == is_taken


@pytest.mark.parametrize(
    ("sent", "is_known"),
    [(None, False), ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"a-gzip"', False), ("a", False)],
)
def test_a_variant_is_known_by_its_own_tag(sent: str | None, is_known: bool) -> None:  # noqa: FBT001
    assert matches(sent, '"a"') == is_known


async def test_both_variants_are_complete_and_have_tags_of_their_own(service: Service) -> None:
    """One tag for both lets caches mix them up, and so does a response or a 304 without Vary."""
    path, content = f"{STATIC_PATH}/{_STYLES}", STATIC_FILES[_STYLES].content
    tags: dict[str, str] = {}
    async with ClientSession(service.url, auto_decompress=False) as raw:
        for headers, coding in [(_ANY, "gzip"), (_PLAIN, None)]:
            async with raw.get(path, headers=headers) as answer:
                body = await answer.read()
                sent = answer.headers
            assert (gzip.decompress(body) if coding else body) == content
            assert (sent.get("content-encoding"), sent["vary"]) == (coding, "Accept-Encoding")
            assert sent["content-length"] == str(len(body))
            async with raw.head(path, headers=headers) as answer:
                assert (answer.status, await answer.read()) == (200, b"")
                assert {name: answer.headers.get(name) for name in ("etag", "content-length", "content-encoding")} == {
                    name: sent.get(name) for name in ("etag", "content-length", "content-encoding")
                }
            async with raw.get(path, headers={**headers, "If-None-Match": sent["etag"]}) as answer:
                assert (answer.status, await answer.read()) == (304, b"")
                assert (answer.headers["vary"], answer.headers["etag"]) == ("Accept-Encoding", sent["etag"])
            tags[str(coding)] = sent["etag"]
        async with raw.get(path, headers={**_PLAIN, "If-None-Match": tags["gzip"]}) as answer:
            assert answer.status == 200
    assert tags["gzip"] != tags["None"]


async def test_no_page_and_no_answer_is_compressed(
    service: Service, alice: Person, bob: Person, alices: ClientSession
) -> None:
    await make_administrator(service, alice.email)
    ids = await ids_of(service, alice, bob)
    paths = [filled_in(page, ids) for page in PAGES if page != "/sign-out"]
    paths += [_PARAMETER.sub(lambda found: ids.get(found[1], UNKNOWN_ID), path) for path in _API_PATHS]
    paths += ["/openapi.json", "/nowhere", "/manifest.webmanifest"]
    assert len(paths) > 40
    for path in paths:
        async with alices.get(path, headers=_ANY) as answer:
            assert "content-encoding" not in answer.headers, path


async def test_a_cold_page_is_less_than_half_as_large_on_its_way(alices: ClientSession, alice: Person) -> None:
    stored = await alice.store()
    async with alices.get(f"/accounts/{stored['id']}?wait=true") as answer:
        parsed = Parsed(await answer.text())
    paths = [str(link["href"]) for link in parsed.attributes("link") if str(link["href"]).startswith(STATIC_PATH)]
    paths += [str(script["src"]) for script in parsed.attributes("script")]
    files = [STATIC_FILES[path.removeprefix(f"{STATIC_PATH}/")] for path in paths]
    texts = [file for file in files if file.media_type != "image/png"]
    assert sum(len(file.compressed or file.content) for file in texts) < sum(len(file.content) for file in texts) / 2


def test_a_variant_that_was_built_is_used_unless_it_is_outdated(tmp_path: Path) -> None:
    """A file that was edited after the build is never hidden behind its old variant."""
    built = gzip.compress(b"a { }" * 20, compresslevel=1, mtime=1)
    (tmp_path / "a.css").write_bytes(b"a { }" * 20)
    (tmp_path / "a.css.gz").write_bytes(built)
    assert list(read_static_files(tmp_path)) == ["a.css"]
    assert read_static_files(tmp_path)["a.css"].compressed == built
    for outdated in (gzip.compress(b"b { }" * 20), b"", b"short"):
        (tmp_path / "a.css.gz").write_bytes(outdated)
        compressed = read_static_files(tmp_path)["a.css"].compressed
        assert compressed is not None
        assert gzip.decompress(compressed) == b"a { }" * 20


def test_what_does_not_get_smaller_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_bytes(b"a{}")
    (tmp_path / "b.png").write_bytes(b"b" * 1000)
    assert [file.compressed for file in read_static_files(tmp_path).values()] == [None, None]
