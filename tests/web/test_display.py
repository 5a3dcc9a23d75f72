from zoneinfo import ZoneInfo

import pytest
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
