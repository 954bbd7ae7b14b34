"""Which lines of a failing scenario does the failure need? Leaves away whatever it can do without."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from hanode.errors import ConfigError
from hanode.sim.scenario import Watch, play

TOGETHER = {"servers": "on", "hosts": ""}
"""Words that name several things in one line, and the word at which the names end (or the first option)."""


def shrink(text: str, still_fails: Callable[[str], bool]) -> str:
    """The smallest text that was found to fail as the whole does; the whole when it does not fail at all."""
    lines = [part for line in text.splitlines() for part in _apart(line)]
    happens = [line for line in lines if line[0].isdigit()]
    there_is = [line for line in lines if not line[0].isdigit()]
    # What happens first: without it the rest is tried the faster.
    happens = _smallest(happens, lambda some: still_fails(_text([*there_is, *some])))
    there_is = _smallest(there_is, lambda some: still_fails(_text([*some, *happens])))
    return _text([*there_is, *happens])


def _smallest(lines: Sequence[str], still_fails: Callable[[Sequence[str]], bool]) -> list[str]:
    """Tries to do without half of the lines, without a quarter, and so on down to every single one."""
    size = max(1, len(lines) // 2)
    while True:
        fewer = _without(lines, size, still_fails)
        if size == 1 and len(fewer) == len(lines):
            return fewer
        lines, size = fewer, max(1, size // 2)


def _without(lines: Sequence[str], size: int, still_fails: Callable[[Sequence[str]], bool]) -> list[str]:
    """The lines without every run of `size` of them that the failure does not need."""
    kept, at = list(lines), 0
    while at < len(kept):
        shorter = kept[:at] + kept[at + size :]
        if still_fails(shorter):
            kept = shorter
        else:
            at += size
    return kept


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _apart(line: str) -> Iterator[str]:
    """One host or server a line, so that each can be left away."""
    word, *rest = line.split()
    if word not in TOGETHER:
        yield line
        return
    names = rest[: _names_end(word, rest)]
    for name in names:
        yield " ".join((word, name, *rest[len(names) :]))


def _names_end(word: str, rest: Sequence[str]) -> int:
    return next((at for at, text in enumerate(rest) if text == TOGETHER[word] or "=" in text), len(rest))


def kind_of(sentence: str) -> str:
    """A violation without its names and numbers: what two failures have in common that are the same defect."""
    return re.sub(r"\b[a-z]*[0-9][\w.:-]*", "_", sentence)


def fails_alike(invariant: str, sentence: str, watch: Watch | None = None) -> Callable[[str], bool]:
    """Does a text break the same rule in the same way?"""
    wanted = (invariant, kind_of(sentence))

    def fails(text: str) -> bool:
        try:
            found = play(text, watch=watch).violations
        except ConfigError:
            return False  # a name is used that is not there any more
        except Exception as error:  # noqa: BLE001 - a crash of hanode is a finding like any other
            return wanted == crash_of(error)
        return any((violation.invariant, kind_of(violation.text)) == wanted for violation in found)

    return fails


def crash_of(error: Exception) -> tuple[str, str]:
    return "CRASH", kind_of(f"{type(error).__name__}: {error}")
