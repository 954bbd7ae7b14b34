"""All disks first, then every start in its turn: who is asked for like that, and whose turn is it?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core import locks
from hanode.core.facts import Instance
from hanode.core.lifecycle import InstanceState
from hanode.core.order import line_of
from hanode.core.policy import Policy, StorageDomain
from hanode.core.records import Before, InstanceRecovery
from hanode.core.room import Ask
from hanode.core.serving import is_silent
from hanode.core.starts import arrives_stopped
from tests.core.facts import POLICY, host, instance

STRICT = replace(POLICY, stopped_first=True)
CEPH, SHARE = StorageDomain("ceph", "rbd"), StorageDomain("nfs", "file")
RAN = Before("active", "running", False)


def ask(policy: Policy = STRICT, domain: StorageDomain | None = CEPH, now: Instance | None = None, **entry: object) -> Ask:
    known = InstanceRecovery("i1", "web1", InstanceState.PENDING, "", **{"before": RAN, **entry})  # type: ignore[arg-type]
    return Ask(now or instance("i1"), known, host("c1"), domain, policy)


def test_what_ran_is_moved_first_and_started_later_if_the_operator_wants_it() -> None:
    """Off by default: the first instance would wait for the last disk."""
    assert arrives_stopped(ask())
    assert not arrives_stopped(ask(policy=POLICY))


@pytest.mark.parametrize("unlike", [
    {"domain": SHARE},
    {"attempt": 1},
    {"failed_hosts": ("c1", "c2")},
    {"before": Before("stopped", "shutdown", False)},
    {"now": instance("i1", vm_state="error")},
])
def test_what_that_call_does_not_fit_is_asked_for_as_ever(unlike: dict[str, object]) -> None:
    """A share has one safe call alone; a second try, what goes alone, what was off, and ERROR, which Nova starts anyhow."""
    assert not arrives_stopped(ask(**unlike))  # type: ignore[arg-type]


def test_who_has_arrived_stopped_keeps_those_waiting_that_start_after_it() -> None:
    """It is there, and does not serve: nobody asks it before it was started."""
    db = InstanceRecovery("db1", "db1", InstanceState.MOVED, "", RAN, arrives_stopped=True, check="tcp:5432", priority="high")
    app = InstanceRecovery("app1", "app1", InstanceState.MOVED, "", RAN, arrives_stopped=True, after=("db1",))
    line = line_of((db, app))
    assert line.awaited(app) == (db,)
    assert line.starting == 1
    assert not is_silent(db)
    assert is_silent(replace(db, state=InstanceState.VERIFIED))


def test_the_lock_tells_that_it_is_to_be_started() -> None:
    """Should the journal be lost between the two halves, nobody else would know that it ran."""
    said = locks.LockReason("c1-20300101T000111", 1, "c2", stopped=True)
    assert locks.read(str(said)) == said
    assert locks.read(str(replace(said, stopped=False))) == replace(said, stopped=False)
