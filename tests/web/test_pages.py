from html.parser import HTMLParser

import aiohttp

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_BANNER = "SANDBOX: no real money, no real Alpaca account"


class Parsed(HTMLParser):
    """Every start tag with its attributes, every text with the tag that it stands in."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags:
            self.texts.append((self.tags[-1][0], data))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def title(self) -> str:
        return "".join(text for tag, text in self.texts if tag == "title").strip()


async def test_every_page_is_there_with_its_content_security_policy(real: aiohttp.ClientSession, page: str) -> None:
    async with real.get(page) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers.getall("content-security-policy") == [_POLICY]


async def test_no_page_has_a_script_a_style_or_a_handler_of_its_own(real: aiohttp.ClientSession, page: str) -> None:
    parsed = await _read(real, page)
    assert [script["type"] for script in parsed.attributes("script")] == ["module"]
    assert all(script["src"] for script in parsed.attributes("script"))
    assert not parsed.attributes("style")
    assert not [text for tag, text in parsed.texts if tag == "script" and "{" in text]
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name == "style"}


async def test_whatever_a_page_is_made_of_is_there_and_may_be_kept_for_a_year(
    real: aiohttp.ClientSession, page: str
) -> None:
    parsed = await _read(real, page)
    addresses = [link["href"] for link in parsed.attributes("link")]
    addresses += [element["src"] for tag in ("script", "img") for element in parsed.attributes(tag)]
    assert len(addresses) >= 7
    for address in addresses:
        assert address is not None
        async with real.get(address) as answer:
            assert answer.status == 200, address
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_the_sandbox_says_so_on_every_page_and_first_in_its_title(
    in_sandbox: aiohttp.ClientSession, page: str
) -> None:
    parsed = await _read(in_sandbox, page)
    assert parsed.title().startswith("SANDBOX")
    assert _BANNER in {text for _, text in parsed.texts}


async def test_a_page_about_real_money_never_speaks_of_a_sandbox(real: aiohttp.ClientSession, page: str) -> None:
    async with real.get(page) as answer:
        assert "sandbox" not in (await answer.text()).lower()


async def test_without_javascript_a_page_says_that_the_api_does_not_need_it(
    real: aiohttp.ClientSession, page: str
) -> None:
    async with real.get(page) as answer:
        assert "<noscript>" in await answer.text()


async def test_a_form_without_its_script_never_puts_a_secret_into_an_address(
    real: aiohttp.ClientSession, page: str
) -> None:
    parsed = await _read(real, page)
    assert all(form["method"] == "post" for form in parsed.attributes("form"))


async def test_every_field_has_a_label_and_no_browser_is_asked_to_remember_an_alpaca_key(
    real: aiohttp.ClientSession, page: str
) -> None:
    parsed = await _read(real, page)
    labelled = {label.get("for") for label in parsed.attributes("label")}
    fields = [field for field in parsed.attributes("input") if field.get("type") != "checkbox"]
    assert all(field["id"] in labelled for field in fields)
    keys = [field for field in fields if field["name"] in {"api_key", "secret_key"}]
    assert len(keys) == (2 if page == "/" else 0)
    assert all(field["autocomplete"] == "off" for field in keys)


async def test_the_pages_are_no_part_of_the_described_api(real: aiohttp.ClientSession) -> None:
    async with real.get("/openapi.json") as answer:
        assert (await answer.json())["paths"] == {}


async def _read(session: aiohttp.ClientSession, page: str) -> Parsed:
    async with session.get(page) as answer:
        return Parsed(await answer.text())
