"""Parses pages."""

from html.parser import HTMLParser

from aiohttp import ClientSession


class Parsed(HTMLParser):
    """All start tags with their attributes, and all texts with the tag they follow."""

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

    def text(self) -> str:
        return " ".join(" ".join(text for _, text in self.texts).split())


async def read_page(session: ClientSession, path: str) -> Parsed:
    async with session.get(path) as answer:
        assert answer.status == 200, f"{path}: {answer.status}"
        return Parsed(await answer.text())


class _Readable(HTMLParser):
    """Whatever a page shows or a screen reader says, with the class of the nearest `<data>`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._kinds: list[str] = [""]
        self._is_code = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self._is_code = tag in {"script", "style"}
        if tag == "data":
            self._kinds.append(attributes.get("class") or "")
        for name in ("title", "aria-label", "alt", "placeholder", "content"):
            self.found.append((name, attributes.get(name) or ""))

    def handle_endtag(self, tag: str) -> None:
        self._is_code = False
        if tag == "data":
            self._kinds.pop()

    def handle_data(self, data: str) -> None:
        if not self._is_code:
            self.found.append((self._kinds[-1], data))


def readable_texts(html: str) -> list[tuple[str, str]]:
    """Returns texts with the class of their `<data>`, and labels and titles with the name of the attribute."""
    return [(kind, text.strip()) for kind, text in _Readable(html).found if text.strip()]
