"""What is a mutant? hanode with one sentence of its design broken, in the process that plays."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

Breaking = Callable[[], Iterator[None]]


@dataclass(frozen=True)
class Mutant:
    name: str
    does: str  # what hanode does then, in a sentence
    by: str  # the checker that must call it by its name ...
    caught_in: tuple[str, ...]  # ... in each of these scenarios
    applied: Callable[[], AbstractContextManager[None]]


MUTANTS: dict[str, Mutant] = {}


def caught(by: str, *scenarios: str) -> Callable[[Breaking], Breaking]:
    """Registers a mutant: hanode as it is while the decorated generator stands at its `yield`; the docstring is what it does."""
    def register(breaking: Breaking) -> Breaking:
        name = breaking.__name__.replace("_", "-")
        does = " ".join((inspect.getdoc(breaking) or "").split())
        MUTANTS[name] = Mutant(name, does, by, scenarios, contextlib.contextmanager(breaking))
        return breaking
    return register


def changed(target: str, new: object) -> AbstractContextManager[Any]:
    """The function or constant of hanode at `target` is `new` while this is entered."""
    return patch(f"hanode.{target}", new)


def always(answer: object) -> Callable[..., object]:
    return lambda *_, **__: answer
