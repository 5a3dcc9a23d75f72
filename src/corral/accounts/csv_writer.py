"""Comma-separated values (RFC 4180) that a spreadsheet may open without running what is in them.

A spreadsheet takes a cell for a formula that begins with = + - or @, also after blanks or in their
full-width forms. Such a cell gets an apostrophe in front, which spreadsheets take for "this is text".
Numbers are left unchanged, including negative ones.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
# Where a new cell begins for a spreadsheet that expects semicolons or tabs instead of commas.
_BEGINNINGS: Final = re.compile(r"([;|\t\r\n])")
_STARTS_FORMULA: Final = frozenset("=+-@\u2212")
_STARTS_NOTHING: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})  # blanks, control and invisible characters


def csv_header(columns: Iterable[str]) -> bytes:
    return _lines([list(columns)])


def csv_rows(rows: Iterable[Iterable[object]]) -> bytes:
    """Returns a line for each row. None and an empty object become an empty cell; an object is written as JSON."""
    return _lines([_cell(value) for value in row] for row in rows)


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return defused(str(value))


def defused(text: str) -> str:
    """Returns the text, with an apostrophe in front if a spreadsheet would run it or a part of it."""
    if _NUMBER.fullmatch(text):
        return text
    begins_badly = text[:1] in {"\t", "\r", "\n"}
    parts = "".join("'" + part if _starts_formula(part) else part for part in _BEGINNINGS.split(text))
    return "'" + parts if begins_badly else parts


def _starts_formula(text: str) -> bool:
    first = next((character for character in text if unicodedata.category(character) not in _STARTS_NOTHING), "")
    return unicodedata.normalize("NFKC", first)[:1] in _STARTS_FORMULA
