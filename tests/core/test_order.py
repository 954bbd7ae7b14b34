"""Who is restarted first, who waits for whom, and whose word counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.accounts import account, classify
from hanode.core.lifecycle import InstanceState
from hanode.core.order import line_of, restart_order
from hanode.core.policy import Policy
from hanode.core.priority import Priority, level_of, priority_of
from hanode.core.records import InstanceRecovery
from tests.core.facts import POLICY, instance


def entry(name: str, policy: Policy = POLICY, **changes: object) -> InstanceRecovery:
    made = account(replace(instance(name, project_id="p"), **changes), "A", {}, policy, frozenset())  # type: ignore[arg-type]
    assert made is not None
    return made


def after(*names: str) -> dict[str, str]:
    return {"hanode:after": ",".join(names)}


def names(entries: object) -> list[str]:
    return [e.name for e in entries]  # type: ignore[attr-defined]


def test_a_rule_of_the_operator_outranks_what_a_tenant_says() -> None:
    """Else every tenant calls everything highest."""
    policy = replace(POLICY, priority_rules={"p/db-*": "highest", "*/*": "low"})
    said = {"hanode:priority": "highest"}
    assert priority_of(instance("web-1", project_id="p", metadata=said), policy) is Priority.LOW
    assert priority_of(instance("db-1", project_id="p"), policy) is Priority.HIGHEST


@pytest.mark.parametrize(("trust", "found"), [
    (("instance", "flavor"), Priority.HIGH), (("flavor", "instance"), Priority.LOW), (("image",), Priority.MEDIUM)])
def test_the_first_whom_the_operator_trusts_is_believed(trust: tuple[str, ...], found: Priority) -> None:
    """And whoever is not named has no say."""
    what = instance(metadata={"hanode:priority": "high"}, extra_specs={"hanode:priority": "low"})
    assert priority_of(what, replace(POLICY, priority_trust=trust)) is found


@pytest.mark.parametrize(("text", "level"), [
    ("1000", Priority.HIGHEST), ("500", Priority.MEDIUM), ("1", Priority.LOWEST), ("0", Priority.DISABLED), (" High ", Priority.HIGH),
    ("urgent", None), ("", None)])
def test_numbers_are_read_as_instanceha_writes_them(text: str, level: Priority | None) -> None:
    """And a word that nobody knows says nothing, so that the next one is asked."""
    assert level_of(text) is level


def test_what_is_disabled_or_not_opted_in_is_not_restarted_elsewhere() -> None:
    """It is told why, and is started when its host is back."""
    disabled = classify(instance(metadata={"hanode:priority": "disabled"}), POLICY, frozenset())
    assert disabled == (InstanceState.SKIPPED, "its restart priority is disabled")
    choosy = replace(POLICY, opt_in_keys=frozenset({"HA_Enabled"}))
    chosen = instance(metadata={"HA_Enabled": "True"})
    states = [found[0] for what in (instance(), chosen) if (found := classify(what, choosy, frozenset()))]
    assert states == [InstanceState.SKIPPED, InstanceState.PENDING]


def test_whoever_most_others_wait_for_comes_first_among_equals() -> None:
    """The longest chain decides how long all of it takes."""
    web, app, db, other = entry("web", metadata=after("app")), entry("app", metadata=after("db")), entry("db"), entry("a-other")
    line = line_of([web, app, db, other])
    assert names(restart_order([web, app, db, other], line.depth)) == ["db", "app", "a-other", "web"]
    assert names(line.awaited(web)) == ["app"] and not line.awaited(db)


def test_a_group_is_awaited_as_a_whole() -> None:
    """A name may stand for several."""
    one, two = (entry(name, metadata={"hanode:group": "dbs"}) for name in ("one", "two"))
    web = entry("web", metadata=after("dbs"))
    assert names(line_of([web, two, one]).awaited(web)) == ["one", "two"]


def test_nobody_waits_for_the_instances_of_another_project() -> None:
    """A name of another tenant's is none of ours."""
    web, theirs = entry("web", metadata=after("db")), replace(entry("db"), project_id="q")
    assert not line_of([web, theirs]).awaited(web)


def test_a_circle_is_told_and_broken_in_the_same_place_by_every_leader() -> None:
    """Both are restarted: a mistake of a tenant must not leave his instances off."""
    hen, egg = entry("hen", metadata=after("egg")), entry("egg", metadata=after("hen"))
    line = line_of([hen, egg])
    assert line.cycles == line_of([egg, hen]).cycles == ("hen starts after egg, which starts after it",)
    assert names(line.awaited(egg)) == ["hen"] and not line.awaited(hen)


@pytest.mark.parametrize("state", [InstanceState.WAITING, InstanceState.FAILED, InstanceState.STUCK, InstanceState.MOVED])
def test_who_cannot_come_or_is_there_keeps_nobody_waiting(state: InstanceState) -> None:
    """One that finds no room must not hold up those that do."""
    db, web = replace(entry("db"), state=state, priority="highest"), entry("web", metadata=after("db"))
    line = line_of([db, web])
    assert not line.awaited(web) and not line.is_early(web)


def test_a_lower_priority_is_early_while_a_higher_one_is_coming() -> None:
    """What then happens is the policy's choice (tier_wait_s)."""
    db, web = replace(entry("db"), priority="high", state=InstanceState.UNDERWAY), entry("web")
    assert line_of([db, web]).is_early(web) and not line_of([db, web]).is_early(db)


def test_the_large_are_placed_before_the_small() -> None:
    """The small still find room beside the large."""
    assert names(restart_order([entry("a-small"), entry("z-large", ram_mb=8192)])) == ["z-large", "a-small"]
