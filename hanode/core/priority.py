"""How important is an instance, and after whom does it start? By whoever the operator trusts most of those who say something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar

from hanode.core.facts import Instance
from hanode.core.once import once_with
from hanode.core.policy import TRUE, Policy


class Priority(StrEnum):
    """In the order in which instances are restarted; DISABLED is not restarted elsewhere at all."""

    HIGHEST = "highest"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    LOWEST = "lowest"
    DISABLED = "disabled"


ORDER: Mapping[Priority, int] = {level: place for place, level in enumerate(Priority)}

NUMBERED = ((800, Priority.HIGHEST), (600, Priority.HIGH), (400, Priority.MEDIUM), (200, Priority.LOW), (1, Priority.LOWEST))
"""From so much on: `instanceha:restart_priority` counts from 1 to 1000, high first, 500 where nothing is said."""


def level_of(text: str) -> Priority | None:
    """A word of ours, or a number of instanceha's; None for anything else, which says nothing."""
    word = text.strip().lower()
    if word.isdigit():
        return next((level for least, level in NUMBERED if int(word) >= least), Priority.DISABLED)
    return Priority(word) if word in set(Priority) else None


def first_that_fits(instance: Instance, patterns: Iterable[str]) -> str | None:
    """The first of the operator's PROJECT/NAME patterns that fits this instance."""
    for pattern in patterns:
        project, _, name = pattern.partition("/")
        if fnmatchcase(instance.project_id, project) and fnmatchcase(instance.name, name or "*"):
            return pattern
    return None


def _by_rule(instance: Instance, policy: Policy) -> Priority | None:
    pattern = first_that_fits(instance, policy.priority_rules)
    return None if pattern is None else level_of(policy.priority_rules[pattern])


_Said = TypeVar("_Said")

WRITTEN: Mapping[str, Callable[[Instance], Mapping[str, str]]] = {
    "flavor": lambda instance: instance.extra_specs,
    "image": lambda instance: instance.image_properties,
    "instance": lambda instance: instance.metadata,
}
SOURCES = frozenset({"rules", *WRITTEN})
"""Who may say something. `instance` is its metadata, which its tenant writes: so it comes last, unless the operator says otherwise."""


def most_trusted(
    instance: Instance,
    policy: Policy,
    by_rule: Callable[[Instance, Policy], _Said | None],
    keys: Iterable[str],
    understood: Callable[[str], _Said | None],
) -> _Said | None:
    """What is said by whoever is trusted most of those who say something that is `understood`, under any of the keys."""
    def said_by(source: str) -> Iterator[_Said | None]:
        if source == "rules":
            yield by_rule(instance, policy)
        else:
            written = WRITTEN[source](instance)
            yield from (understood(written[key]) for key in keys if key in written)

    said = (found for source in policy.priority_trust for found in said_by(source))
    return next((found for found in said if found is not None), None)


@once_with
def priority_of(instance: Instance, policy: Policy) -> Priority:
    return most_trusted(instance, policy, _by_rule, policy.priority_keys, level_of) or Priority.MEDIUM


def is_wanted(instance: Instance, policy: Policy) -> bool:
    """With `opt_in_keys`, only what carries one of them as true is restarted elsewhere: on itself, its flavor or its image."""
    places = (instance.metadata, instance.extra_specs, instance.image_properties)
    return not policy.opt_in_keys or any(
        values.get(key, "").strip().lower() in TRUE for key in sorted(policy.opt_in_keys) for values in places
    )


def starts_after(instance: Instance, policy: Policy) -> tuple[str, ...]:
    """Names of instances, or of groups of them, of its own project."""
    return tuple(word.strip() for word in instance.metadata.get(policy.after_key, "").split(",") if word.strip())
