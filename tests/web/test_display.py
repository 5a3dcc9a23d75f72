import re
import struct
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from corral.web.display import (
    Density,
    Display,
    Theme,
    format_display,
    is_time_zone,
    parse_display,
)
from tests.conftest import Service
from tests.people import Person
from tests.web.conftest import BROWSER
from tests.web.parsed_html import Parsed, read_page

_DISPLAYS = st.builds(
    Display,
    theme=st.sampled_from(Theme),
    density=st.sampled_from(Density),
    local_zone=st.sampled_from([None, "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "UTC"]),
    hides_amounts=st.booleans(),
)
_PARTS = [
    "theme",
    "dark",
    "density",
    "compact",
    "zone",
    "Europe%2FBerlin",
    "..%2F..%2Fetc%2Fpasswd",
    "amounts",
    ":",
    "&",
]


@given(_DISPLAYS)
def test_the_cookie_keeps_every_preference(display: Display) -> None:
    assert parse_display(format_display(display)) == display


@given(st.text(max_size=300) | st.lists(st.sampled_from(_PARTS), max_size=12).map("".join))
def test_any_cookie_gives_valid_preferences(text: str) -> None:
    display = parse_display(text)
    assert parse_display(format_display(display)) == display
    assert isinstance(display.zone, ZoneInfo)
    assert len(format_display(display)) < 100


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Display()),
        ("theme:dark&density:huge&zone:Mars%2FOlympus", Display(theme=Theme.DARK)),
        ("theme:DARK", Display()),
        ("amounts:hidden&account:4711", Display(hides_amounts=True)),
        ("amounts:shown", Display()),
        ("theme:dark&" + "x" * 200, Display()),
    ],
)
def test_unknown_and_malformed_parts_have_their_defaults(text: str, expected: Display) -> None:
    assert parse_display(text) == expected


@pytest.mark.parametrize(
    "name", ["", "localtime", "Factory", "../Europe/Berlin", "/etc/localtime", "Europe", "europe/berlin"]
)
def test_only_names_of_time_zones_are_time_zones(name: str) -> None:
    assert not is_time_zone(name)


async def test_a_device_without_preferences_gets_the_defaults(anonymous: ClientSession) -> None:
    async with anonymous.get("/sign-in", headers=BROWSER) as answer:
        page = Parsed(await answer.text())
    (html,) = page.attributes("html")
    assert (html["data-theme"], html["data-density"], html["data-zone"]) == (
        "system",
        "comfortable",
        "America/New_York",
    )
    assert "data-amounts" not in html
    metas = {(meta.get("name"), meta.get("media")): meta.get("content") for meta in page.attributes("meta")}
    assert metas["color-scheme", None] == "light dark"
    assert metas["theme-color", "(prefers-color-scheme: dark)"] != metas["theme-color", "(prefers-color-scheme: light)"]


@pytest.mark.parametrize(("path", "status"), [("/sign-in", 200), ("/nowhere", 404)])
async def test_every_page_has_the_theme_before_anyone_signs_in(
    anonymous: ClientSession, path: str, status: int
) -> None:
    cookies = {"corral_display": "theme:dark&density:compact&zone:Europe%2FBerlin&amounts:hidden"}
    async with anonymous.get(path, headers=BROWSER, cookies=cookies) as answer:
        assert answer.status == status
        page = Parsed(await answer.text())
    (html,) = page.attributes("html")
    assert (html["data-theme"], html["data-density"], html["data-zone"]) == ("dark", "compact", "Europe/Berlin")
    assert html["data-zone-names"] == '{"60": "CET", "120": "CEST"}'
    assert html["data-amounts"] == "hidden"
    themes = [meta for meta in page.attributes("meta") if meta.get("name") in {"color-scheme", "theme-color"}]
    assert [meta.get("media") for meta in themes] == [None, None]
    assert themes[0]["content"] == "dark"


async def test_settings_are_stored_on_the_device(alices: ClientSession) -> None:
    chosen = {
        "theme": "dark",
        "density": "compact",
        "zone": "local",
        "device_zone": "Europe/Berlin",
        "amounts": "hidden",
    }
    status, target, cookie = await _post(alices, "/you/display", chosen)
    assert (status, target) == (303, "/you?saved=display")
    assert cookie.split("; ", 1) == [
        "corral_display=theme:dark&density:compact&zone:Europe%2FBerlin&amounts:hidden",
        "HttpOnly; Max-Age=31536000; Path=/; SameSite=lax",
    ]
    sent = {"corral_display": cookie.partition(";")[0].partition("=")[2]}
    async with alices.get(target, cookies=sent) as answer:
        page = Parsed(await answer.text())
    assert "Saved for this device." in page.text()
    checked = {(field["name"], field["value"]) for field in page.attributes("input") if "checked" in field}
    assert {("theme", "dark"), ("density", "compact"), ("zone", "local"), ("amounts", "hidden")} <= checked
    assert "Local time needs JavaScript." not in page.text()  # the zone is known from before


async def test_without_scripts_local_time_cannot_be_chosen(alices: ClientSession) -> None:
    page = await read_page(alices, "/you")
    (local,) = [field for field in page.attributes("input") if field.get("value") == "local"]
    assert "disabled" in local
    assert "Local time needs JavaScript." in page.text()
    for zone in ("", "Mars/Olympus", "localtime"):
        chosen = {"theme": "system", "density": "compact", "zone": "local", "device_zone": zone}
        async with alices.post("/you/display", data=chosen, allow_redirects=False) as answer:
            assert answer.status == 422
            assert "the browser's time zone is unknown" in Parsed(await answer.text()).text()


@pytest.mark.parametrize(
    ("next_path", "target"),
    [
        ("/accounts/1/orders?since=2026-11-01&kind=", "/accounts/1/orders?since=2026-11-01&kind="),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("", "/"),
    ],
)
async def test_the_switch_keeps_other_preferences_and_returns_to_the_page(
    alices: ClientSession, next_path: str, target: str
) -> None:
    path = f"/you/display/amounts?{urlencode({'next': next_path})}"
    sent = {"corral_display": "theme:dark&density:compact&zone:Europe%2FBerlin"}
    status, location, cookie = await _post(alices, path, {"amounts": "hidden"}, sent)
    assert (status, location) == (303, target)
    assert cookie.startswith("corral_display=theme:dark&density:compact&zone:Europe%2FBerlin&amounts:hidden;")
    _, _, cookie = await _post(alices, path, {"amounts": "shown"}, sent | {"corral_display": "amounts:hidden"})
    assert cookie.startswith("corral_display=theme:system&density:comfortable;")


async def test_the_switch_of_a_page_returns_to_it(alices: ClientSession, alice: Person) -> None:
    path = f"/accounts/{(await alice.store())['id']}/orders?since=2026-11-01&status=open"
    page = await read_page(alices, path)
    (action,) = [form["action"] or "" for form in page.attributes("form") if "amounts?" in (form.get("action") or "")]
    assert parse_qs(urlsplit(action).query) == {"next": [path]}


async def test_local_time_follows_the_device_only_if_it_was_chosen(alices: ClientSession) -> None:
    for before, after in (
        ("zone:Europe%2FBerlin", "&zone:Asia%2FTokyo;"),
        ("theme:dark", "theme:dark&density:comfortable;"),
    ):
        sent = {"corral_display": before}
        _, _, cookie = await _post(alices, "/you/display/zone", {"device_zone": "Asia/Tokyo"}, sent)
        assert after in cookie


@pytest.mark.parametrize(
    ("zone", "since", "to"),
    [
        ("", "2026-03-08T04:59:59.999999Z", "2026-03-09T04:00:00Z"),  # a day of 23 hours
        ("zone:Europe%2FBerlin", "2026-03-07T22:59:59.999999Z", "2026-03-08T23:00:00Z"),
        ("zone:Asia%2FTokyo", "2026-03-07T14:59:59.999999Z", "2026-03-08T15:00:00Z"),
    ],
)
async def test_a_day_of_the_filters_is_one_of_the_chosen_zone(
    alices: ClientSession, alice: Person, zone: str, since: str, to: str
) -> None:
    path = f"/accounts/{(await alice.store())['id']}/orders?since=2026-03-08&to=2026-03-08"
    async with alices.get(path, cookies={"corral_display": zone}) as answer:
        page = Parsed(await answer.text())
    (csv,) = [link["href"] or "" for link in page.attributes("a") if "orders.csv" in (link.get("href") or "")]
    query = parse_qs(urlsplit(csv).query)
    assert (query["after"], query["until"]) == ([since], [to])
    assert query["time_zone"] == [parse_display(zone).zone_name]
    async with alices.get(csv) as answer:
        assert (answer.status, answer.content_type) == (200, "text/csv")


async def test_the_manifest_describes_an_application_to_install(anonymous: ClientSession, demo: Service) -> None:
    async with anonymous.get("/manifest.webmanifest") as answer:
        assert (answer.status, answer.content_type) == (200, "application/manifest+json")
        manifest = await answer.json(content_type=None)
    assert (manifest["start_url"], manifest["display"], manifest["name"]) == ("/", "standalone", "Corral")
    assert [(icon["sizes"], icon["purpose"]) for icon in manifest["icons"]] == [
        ("192x192", "any"),
        ("512x512", "any"),
        ("512x512", "maskable"),
    ]
    for icon in manifest["icons"]:
        async with anonymous.get(icon["src"]) as answer:
            content = await answer.read()
            assert (answer.status, answer.content_type) == (200, icon["type"])
        width, height = struct.unpack(">II", content[16:24])  # of a PNG
        assert f"{width}x{height}" == icon["sizes"]
    async with ClientSession(demo.url) as session, session.get("/manifest.webmanifest") as answer:
        assert (await answer.json(content_type=None))["name"] == "Corral (SANDBOX)"


@pytest.mark.parametrize(
    ("path", "current"),
    [("/", ("Home", "page")), ("/accounts/{id}", ("Home", "true")), ("/keys/{id}", ("Home", "true")),
     ("/you", ("Settings", "page")), ("/you/tokens/all/revoke", ("Settings", "true")), ("/docs", ("API", "page"))],
)  # fmt: skip
async def test_the_navigation_marks_the_page_and_its_section(
    alices: ClientSession, alice: Person, path: str, current: tuple[str, str]
) -> None:
    stored = await alice.store()
    async with alices.get(path.format(id=stored["id"])) as answer:
        html = await answer.text()
    masthead = html[html.index("<header") : html.index("</header>")]
    marked = re.findall(r'aria-current="(\w+)">([^<]+)<', masthead)
    assert {(name, kind) for kind, name in marked} == {current}
    assert re.findall(r">([^<>]+)</a>", masthead)[:6] == ["Home", "Holdings", "Orders", "Activity", "Settings", "API"]


async def test_signed_out_the_navigation_has_only_what_needs_no_session(anonymous: ClientSession) -> None:
    async with anonymous.get("/docs", headers=BROWSER) as answer:
        html = await answer.text()
    masthead = html[html.index("<header") : html.index("</header>")]
    assert re.findall(r'href="(/[^"]*)"', masthead) == ["/", "/docs"]
    assert "<form" not in masthead


async def _post(
    session: ClientSession, path: str, fields: dict[str, str], cookies: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Returns status, location and the display's cookie."""
    async with session.post(path, data=fields, cookies=cookies, allow_redirects=False) as answer:
        (cookie,) = answer.headers.getall("set-cookie")
        return answer.status, answer.headers["location"], cookie
