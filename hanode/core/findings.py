"""What does an answer about capacity say, and how sure is it?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class How(StrEnum):
    PLANNED = "every such failure was planned"
    PROVEN = "proven by a bound that is never too optimistic"
    FOUND = "this failure was planned; others may be worse"
    NOT_PROVEN = "too many failures to plan each, and the bound, which is never too optimistic, does not prove it"
    COUNTED = "counted"


@dataclass(frozen=True)
class Finding:
    """The answer to one question."""

    question: str
    holds: bool  # False as well when it is only not proven: what is not proven is not promised
    how: How
    worst: tuple[str, ...] = ()  # the failure that leaves most behind
    left: tuple[str, ...] = ()  # the first instances that would not be restarted, each with its reason
    left_count: int = 0
    fix: str = ""
