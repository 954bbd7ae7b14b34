"""How is text that others wrote shown, so that it stays text? Names of instances are a tenant's, reasons anybody's."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Any

JOINERS = "\u200c\u200d"
"""Of category Cf, but part of ordinary writing (Persian, emoji)."""

CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls (newline, ANSI escapes), those that turn the direction of writing, halves of characters, line separators."""

FORMULA = tuple("=+-@\t\r")
"""What a spreadsheet takes for the beginning of a formula."""


def one_line(text: str) -> str:
    """The text with everything that could move a cursor, break a line or turn the writing made visible as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c in JOINERS or unicodedata.category(c) not in CATEGORIES else _escaped(c) for c in text)


def csv_cell(text: str) -> str:
    """A spreadsheet must show it, not compute it."""
    shown = one_line(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def deep(value: Any, clean: Callable[[str], str] = one_line) -> Any:
    """Every text in lists and objects."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {deep(key, clean): deep(item, clean) for key, item in value.items()}
    return list(map(partial(deep, clean=clean), value)) if isinstance(value, list | tuple) else value


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
