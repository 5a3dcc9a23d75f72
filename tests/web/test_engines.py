"""No script and no style uses what the oldest supported browsers lack: Chrome 123, Firefox 125, Safari 17.5."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from corral.web.static_files import STATIC_FILES

_FLOOR = {"Chrome": 123.0, "Firefox": 125.0, "Safari": 17.5}
_NEVER = 1000.0

# By pattern: the first version of each browser that has it (MDN's compatibility data). Styles that a browser ignores
# without harm, like `text-wrap: pretty`, are not listed.
_IN_SCRIPTS = {
    r"\.(union|intersection|symmetricDifference|isSubsetOf|isSupersetOf|isDisjointFrom)\(": (122, 127, 17),
    r"\.(values|keys|entries)\(\)\.(map|filter|take|drop|flatMap|reduce|toArray|some|every|find)\(": (122, 131, 18.4),
    r"\bIterator\.": (122, 131, 18.4),
    r"\bURL\.parse\(": (126, 126, 18),
    r"\bPromise\.try\(": (128, 134, 18.2),
    r"\bRegExp\.escape\(": (136, 134, 18.2),
    r"\bIntl\.DurationFormat\b": (129, 136, 16.4),
    r"\bMath\.(sumPrecise|f16round)\(": (135, 129, 18.2),
    r"\bError\.isError\(": (134, 138, _NEVER),
    r"\.(toBase64|toHex)\(|\.(fromBase64|fromHex)\(": (140, 133, 18.2),
    r"\.getOrInsert(Computed)?\(": (145, 144, 26.2),
    r"\bTemporal\.": (144, 139, _NEVER),
    r"\bscheduler\.": (94, 142, _NEVER),
    r"\brequestIdleCallback\(": (47, 55, _NEVER),
    r"\.startViewTransition\(": (111, 144, 18),
    r"\bnavigation\.": (102, 147, 26.2),
    r"\bcookieStore\.": (87, 140, 18.4),
    r"\bCloseWatcher\b": (126, _NEVER, _NEVER),
    r"\.setHTML\(|\.setHTMLUnsafe\(": (124, 123, 17.4),
    r"\.moveBefore\(": (133, 144, _NEVER),
    r"\.requestClose\(|\.closedBy\b": (134, 139, 18.4),
    r"\.togglePopover\(\{|\.showPopover\(\{": (133, 144, 26),
    r"\b(await )?using \w+ =": (134, 141, _NEVER),
    r"with \{ type:": (123, 138, 17.2),
    r"\bimport defer\b": (_NEVER, _NEVER, _NEVER),
    r"/[a-z]*v[a-z]*\.(test|exec)\(|/v\.": (112, 116, 17),
    r"\(\?[ims]+[-:]": (125, 132, 26),
    r"\bDocumentPictureInPicture\b|\bonscrollend\b": (116, 109, 26.2),
}
_IN_STYLES = {
    r"@starting-style": (117, 129, 17.5),
    r"@property\b": (85, 128, 16.4),
    r"@scope\b": (118, 146, 17.4),
    r"@view-transition": (126, _NEVER, 18.2),
    r"@position-try|anchor\(|position-anchor|anchor-name": (125, 147, 26),
    r"@container\s+style\(": (111, _NEVER, 18),
    r"scroll-state\(": (133, _NEVER, _NEVER),
    r"animation-timeline|view-timeline|scroll-timeline": (115, _NEVER, 26),
    r"calc-size\(|interpolate-size": (129, _NEVER, _NEVER),
    r"field-sizing": (123, _NEVER, 26.2),
    r"::details-content": (131, 143, 18.4),
    r":open\b(?!-)": (133, 136, 26.5),
    r":has-slotted|:state\(": (125, 126, 17.4),
    r"(?:oklch|rgb|hsl|color)\(from ": (119, 128, 18),
    r":\s*if\(": (137, _NEVER, _NEVER),
    r"text-box(-trim)?:": (133, _NEVER, 18.2),
    r"sibling-(index|count)\(": (138, _NEVER, 26.2),
    r"\bcontrast-color\(": (147, 146, 26),
    r"\blight-dark\(\s*(url|image|linear)": (_NEVER, _NEVER, _NEVER),
}
_IN_TEMPLATES = {
    r"\bcommandfor=|\bcommand=": (135, 144, 26.2),
    r"\bclosedby=": (134, 141, _NEVER),
    r'popover="hint"|\binterestfor=': (133, _NEVER, _NEVER),
}
_OWN = {path: file.content.decode() for path, file in STATIC_FILES.items() if file.media_type.startswith("text/")}
_SCRIPTS = {path: text for path, text in _OWN.items() if path.endswith(".js")}
_STYLES = {path: text for path, text in _OWN.items() if path.endswith(".css")}
_TEMPLATES = {
    path.name: path.read_text(encoding="utf-8") for path in Path(str(files("corral.web") / "templates")).glob("*.html")
}


@pytest.mark.parametrize(
    ("sources", "features"),
    [(_SCRIPTS, _IN_SCRIPTS), (_STYLES, _IN_STYLES), (_TEMPLATES, _IN_TEMPLATES)],
    ids=["scripts", "styles", "templates"],
)
def test_nothing_is_used_that_the_oldest_browsers_lack(
    sources: dict[str, str], features: dict[str, tuple[float, float, float]]
) -> None:
    assert sources
    too_new = [
        pattern
        for pattern, first in features.items()
        if any(since > floor for since, floor in zip(first, _FLOOR.values(), strict=True))
    ]
    used = {(path, pattern) for path, text in sources.items() for pattern in too_new if re.search(pattern, text)}
    assert used == set()


def test_the_list_finds_what_it_names() -> None:
    for example in ("a.union(b)", "map.keys().map(f)", "URL.parse(text)", "Promise.try(f)"):
        assert any(re.search(pattern, example) for pattern in _IN_SCRIPTS), example


def test_scripts_and_styles_ask_for_the_same_features() -> None:
    condition = "(color: light-dark(black, white)) and selector(:popover-open)"
    assert condition in _SCRIPTS["scripts/engine.js"]
    assert f"@supports {condition}" in _STYLES["styles/components.css"]


def test_every_script_of_a_page_looks_at_the_browser_first() -> None:
    entries = {name for text in _TEMPLATES.values() for name in re.findall(r"scripts/\w+\.js", text)}
    assert len(entries) > 8
    imported = re.compile(r'^import .*?"([./\w-]+)";$', re.MULTILINE)
    assert {name for name in entries if imported.findall(_SCRIPTS[name])[:1] != ["./engine.js"]} == set()
