"""Is an open recovery slower than those before it? By the history, read beside the tick."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from hanode.core.decisions import Closed, Verdict
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.policy import Policy
from hanode.core.preview import Lasted
from hanode.core.records import HostRecovery
from hanode.engine.forecast import Past, predicted_s, recovering
from hanode.engine.measure import numbers
from hanode.errors import Unreachable
from tests.web.conftest import entry, recovery

LIMIT_S = 60.0
MEASURED = Lasted(20.0, 10.0, 3)
POLICY = Policy(mode="act", max_evacuations=100, max_per_target=4, max_per_domain=50)
I = InstanceState  # noqa: E741 - a table reads better so


def failed(count: int, host: str = "cn2", state: InstanceState = I.PENDING, opened_at: str = "2026-03-09T03:00:00Z") -> HostRecovery:
    instances = [replace(entry(f"{host}-{number}", state), domain="ceph") for number in range(count)]
    return replace(recovery(*instances, state=HostState.EVACUATING), host=host, incident=f"{host}-1", opened_at=opened_at)


def rounds(*records: HostRecovery, targets: int = 10) -> list[int]:
    told = recovering({record.host: record for record in records}, [Verdict.HEALTHY] * targets, POLICY)
    return [one["rounds"] for one in told]


@pytest.mark.parametrize(("count", "targets", "expected"), [(1, 10, 1), (40, 10, 1), (41, 10, 2), (51, 100, 2), (101, 100, 3), (8, 1, 2)])
def test_the_rounds_are_those_of_the_tightest_limit(count: int, targets: int, expected: int) -> None:
    """Of one target, of a storage domain, or in all."""
    assert rounds(failed(count), targets=targets) == [expected]


def test_hosts_that_failed_together_wait_for_each_other() -> None:
    """Each of them alone would need one round."""
    assert rounds(failed(30), failed(30, "cn3")) == [2, 2]


def test_what_is_done_does_not_shrink_the_prediction() -> None:
    """Else the last instance would always be late."""
    record = failed(60)
    done = {key: replace(one, state=I.VERIFIED) for key, one in list(record.instances.items())[:59]}
    assert rounds(replace(record, instances={**record.instances, **done})) == rounds(record)


@pytest.mark.parametrize("state", [I.VERIFIED, I.RETURNED, I.SKIPPED, I.GONE])
def test_with_nobody_down_nothing_is_slow(state: InstanceState) -> None:
    """A host that waits for weeks to be repaired is no recovery any more."""
    assert rounds(failed(3, state=state)) == []


def test_what_is_only_watched_and_what_is_only_suspected_is_no_recovery() -> None:
    """Nothing is restarted there."""
    assert rounds(replace(failed(3), observe_only=True)) == rounds(replace(failed(3), state=HostState.SUSPECT)) == []


def test_without_a_history_nothing_is_predicted() -> None:
    """A guess would wake people."""
    assert predicted_s(2, Lasted()) is None
    assert predicted_s(2, MEASURED) == 40.0


def test_the_recovery_furthest_behind_is_shown() -> None:
    """An old large one may be in time while a small one hangs."""
    large = {"incident": "large", "since": "2026-03-09T03:00:00Z", "rounds": 58}
    small = {"incident": "small", "since": "2026-03-09T03:05:00Z", "rounds": 1}
    status = {"updated_at": "2026-03-09T03:10:00Z", "recovering": [large, small]}
    shown = numbers(status, MEASURED)
    assert (shown["hanode_recovery_elapsed_seconds"], shown["hanode_recovery_predicted_seconds"]) == ({"": 300.0}, {"": 30.0})
    unmeasured = numbers(status)
    assert (unmeasured["hanode_recovery_elapsed_seconds"], unmeasured["hanode_recovery_predicted_seconds"]) == ({"": 600.0}, {"": 0.0})


class History:
    def __init__(self) -> None:
        self.reads = 0
        self.fails = False

    def __call__(self) -> tuple[Closed, ...]:
        self.reads += 1
        if self.fails:
            raise Unreachable("no journal")
        moved = replace(entry("vm", I.VERIFIED), requested_at="2026-03-09T03:00:30Z", ended_at="2026-03-09T03:00:40Z")
        record = replace(recovery(moved), opened_at="2026-03-09T03:00:00Z", fenced_at="2026-03-09T03:00:20Z", observe_only=False)
        return (Closed(record, "released"),)


def settled(past: Past) -> None:
    if isinstance(past._thread, threading.Thread):
        past._thread.join(LIMIT_S)


def test_the_history_is_read_beside_the_tick_when_office_is_taken_and_after_an_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be tens of megabytes; and a standby needs none of it."""
    monkeypatch.setattr("hanode.engine.forecast.READ_EVERY_S", 0.0)
    history = History()
    past = Past(history)
    assert past.lasted(leads=False, is_busy=False) == Lasted() and history.reads == 0
    past.lasted(leads=True, is_busy=True)
    settled(past)
    assert past.lasted(leads=True, is_busy=True) == Lasted(20.0, 10.0, 1), "who takes over in the middle of an incident has to know as well"
    assert history.reads == 1
    for _ in range(3):
        past.lasted(leads=True, is_busy=False)
        settled(past)
    assert history.reads == 2, "once, as nothing more has ended since"


def test_a_journal_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Until then nothing is predicted."""
    monkeypatch.setattr("hanode.engine.forecast.READ_EVERY_S", 0.0)
    history = History()
    history.fails = True
    past = Past(history)
    past.lasted(leads=True, is_busy=False)
    settled(past)
    history.fails = False
    past.lasted(leads=True, is_busy=False)
    settled(past)
    assert past.lasted(leads=True, is_busy=False).incidents == 1 and "trying again: no journal" in caplog.text
