"""Cells that a spreadsheet would run are defused, and everything else is what it was."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.csv_writer import csv_header, csv_rows, defused


def _read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\tplain", "\rplain", "\nplain", "  =1"),
        *("\u00a0=1", "\u3000=1", "\u200b=1", "\ufeff=1", "\u202e=1", "\x00=1", "\x1b=1"),
        *(
            "\uff1d1",
            "\uff0b1",
            "\uff0d1",
            "\uff20A1",
            "\ufe661",
            "\ufe631",
            "\u22121",
        ),  # full-width, small, typographic
        *("=cmd|' /C calc'!A0", '=HYPERLINK("http://x")', "-2+3", "--1", "-1e5+1", "+", "-", "- 5"),
    ],
    ids=ascii,
)
def test_a_cell_that_a_spreadsheet_would_run_is_text(text: str) -> None:
    assert defused(text).startswith("'")


@pytest.mark.parametrize("text", ["a;=1", "a\t=1", "a\n=1", "a\r\n=1", "a|=1", "a; \uff1d1"])
def test_a_cell_that_starts_after_another_separator_is_text_too(text: str) -> None:
    assert "'=" in defused(text).replace("\uff1d", "=").replace("' ", "'")


@pytest.mark.parametrize("number", ["-1", "-0.5", "1e5", "-23140.2", "-1e-5", "0", "-0.00", "122011.09751111286868"])
def test_numbers_stay_numbers_also_negative_ones(number: str) -> None:
    assert defused(number) == number


@pytest.mark.parametrize(
    "text", ["", "AAPL", "BRK.B", "BTC/USD", "a-b", "5680c4bc-9ac1-4a12", "2026-11-23T14:31:04Z", "é"]
)
def test_harmless_cells_are_unchanged(text: str) -> None:
    assert defused(text) == text


_NASTY = st.text(st.sampled_from("=+-@ \t\r\n;|,\"'aé1\uff1d\u200b\u3000"), max_size=12)


@given(_NASTY)
def test_no_cell_begins_a_formula_wherever_it_is_split(text: str) -> None:
    cell = defused(text)
    if cell.lstrip("-").replace(".", "").isdigit():
        return  # a number
    for part in cell.replace("\t", ";").replace("\r", ";").replace("\n", ";").replace("|", ";").split(";"):
        assert part.strip(" \u200b\u3000")[:1] not in {*"=+-@\uff1d"}


@given(st.lists(_NASTY | st.none(), max_size=5))
def test_written_cells_can_be_read_back(texts: list[str | None]) -> None:
    data = csv_header(["text", "flag", "other"]) + csv_rows([text, None, {}] for text in texts)
    assert _read(data) == [["text", "flag", "other"], *([defused(text or ""), "", ""] for text in texts)]
    assert data.endswith(b"\r\n")


def test_flags_are_words() -> None:
    assert csv_rows([[True], [False]]) == b"true\r\nfalse\r\n"


def test_an_object_is_json() -> None:
    assert _read(csv_rows([[{"venue": "é", "is_final": True}]])) == [['{"venue": "é", "is_final": true}']]
