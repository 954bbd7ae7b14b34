"""What Nova shows of an evacuation, and which step that is: S3 in every way an answer can be lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hanode.core.decisions import Timers
from hanode.core.draft import Draft
from hanode.core.facts import Instance, Migration, Reading
from hanode.core.follow import evacuate_action, follow, is_ready
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Moment, Outcome, Result, Snapshot, WantKind
from hanode.core.records import Before, HostRecovery, InstanceRecovery, Records
from hanode.core.view import View
from tests.core.facts import POLICY, evacuation, instance

ENTRY = InstanceRecovery(
    "id-vm", "vm", InstanceState.PENDING, "", Before("active", "running", False), domain="A", attempt=1, target="c2", ours=True
)
S = InstanceState


@dataclass
class Leader:
    """One leader that looks again and again; what it remembers is carried from look to look."""

    now_s: float = 1000.0
    timers: Timers = field(default_factory=lambda: Timers(0.0))
    others: dict[str, HostRecovery] = field(default_factory=dict)

    def look(
        self,
        entry: InstanceRecovery,
        now: Instance,
        records: Sequence[Migration] = (),
        outcome: Result | None = None,
        in_flight: bool = False,
        read_s: float | None = None,
        after_s: float = 0.0,
    ) -> InstanceRecovery:
        """What becomes of the entry when Nova shows this; the readings began `read_s` (by default: just now)."""
        self.now_s += after_s
        record = HostRecovery("c1", "c1-1", HostState.EVACUATING, "", "", instances={"id-vm": entry}, last_beat_at="t0")
        action = evacuate_action(record, entry)
        outcomes = {action.action_id: Outcome(action, outcome, "as given", self.now_s)} if outcome else {}
        started_s = self.now_s if read_s is None else read_s
        readings = {(WantKind.INSTANCE, "id-vm"): Reading[object](now, started_s, started_s)}
        snapshot = Snapshot(readings=readings, in_flight=frozenset({action.action_id} if in_flight else ()))
        draft = Draft(
            snapshot, Records({**self.others, "c1": record}), replace(self.timers, outcomes=outcomes), POLICY, Moment(self.now_s, "now")
        )
        servers = {"id-vm": now} if now.host == "c1" else {}
        view = View(draft, record, servers, started_s, tuple(records), started_s, frozenset())
        found = follow(view, entry)
        self.ready = is_ready(view, found)
        self.timers = draft.decisions().timers
        return found


HERE = instance()
REBUILDING = instance(task_state="rebuilding")
THERE = instance(on="c2")


def in_state(state: InstanceState, **changes: object) -> InstanceRecovery:
    return replace(ENTRY, state=state, **changes)  # type: ignore[arg-type]


def test_a_record_outside_the_baseline_says_that_it_was_posted() -> None:
    """Whatever became of the HTTP answer."""
    found = Leader().look(in_state(S.REQUESTED), REBUILDING, [evacuation("m1", "accepted")], outcome=Result.AMBIGUOUS)
    assert found.state is S.UNDERWAY


def test_an_old_record_says_nothing() -> None:
    """The failed evacuation of last week is in the baseline."""
    found = Leader().look(in_state(S.REQUESTED, baseline=("m1",)), HERE, [evacuation("m1", "failed")])
    assert found.state is S.REQUESTED


def test_a_timeout_is_not_repeated_before_it_has_settled() -> None:
    """The request may still be on its way: Nova guards nothing, and a second one can run the guest twice."""
    leader, entry = Leader(), in_state(S.REQUESTED)
    assert leader.look(entry, HERE, outcome=Result.AMBIGUOUS).state is S.REQUESTED
    assert leader.look(entry, HERE, outcome=Result.AMBIGUOUS, after_s=POLICY.repost_settle_s - 1).state is S.REQUESTED
    found = leader.look(entry, HERE, outcome=Result.AMBIGUOUS, after_s=2)
    assert found.state is S.PENDING and found.pinned and found.target == "c2", "and then only to the same target"


def test_only_a_read_begun_after_settling_counts() -> None:
    """A list that was asked for earlier may be older than the late request."""
    leader, entry = Leader(), in_state(S.REQUESTED)
    leader.look(entry, HERE)
    stale_s = leader.now_s
    assert leader.look(entry, HERE, after_s=POLICY.repost_settle_s + 50, read_s=stale_s).state is S.REQUESTED


def test_a_new_leader_settles_anew() -> None:
    """It cannot know when its predecessor sent the request."""
    entry, first = in_state(S.REQUESTED), Leader()
    first.look(entry, HERE)
    second = Leader(now_s=first.now_s + POLICY.repost_settle_s)
    assert second.look(entry, HERE).state is S.REQUESTED


def test_a_request_that_is_still_under_way_does_not_settle() -> None:
    """The wait begins when the worker has given up, not before."""
    leader, entry = Leader(), in_state(S.REQUESTED)
    leader.look(entry, HERE, in_flight=True)
    assert leader.look(entry, HERE, in_flight=True, after_s=10 * POLICY.repost_settle_s).state is S.REQUESTED


def test_what_certainly_was_not_posted_is_tried_again_at_once() -> None:
    """No connection: nothing can come late."""
    found = Leader().look(in_state(S.REQUESTED), HERE, outcome=Result.UNREACHABLE)
    assert found.state is S.PENDING and not found.pinned


def test_a_refusal_counts_as_an_attempt_there() -> None:
    """And when all are spent, a person must look."""
    found = Leader().look(in_state(S.REQUESTED), HERE, outcome=Result.REFUSED)
    assert found.state is S.PENDING and found.avoid == ("c2",)
    assert Leader().look(in_state(S.REQUESTED, attempt=POLICY.evacuate_attempts), HERE, outcome=Result.REFUSED).state is S.FAILED


def test_active_while_still_at_home_is_not_done() -> None:
    """Nova shows ACTIVE and no task on the old host before it switches the host (seen with every evacuation)."""
    found = Leader().look(in_state(S.UNDERWAY), HERE, [evacuation("m1", "pre-migrating")])
    assert found.state is S.UNDERWAY


def test_done_is_a_new_host_without_a_task_and_without_an_open_record() -> None:
    """The record ends last."""
    leader = Leader()
    assert leader.look(in_state(S.UNDERWAY), THERE, [evacuation("m1", "pre-migrating")]).state is S.UNDERWAY
    assert leader.look(in_state(S.UNDERWAY), THERE, [evacuation("m1", "done")]).state is S.MOVED


def test_the_conductor_may_finish_an_older_record_than_ours() -> None:
    """It takes the oldest accepted one; ours then stays accepted for ever."""
    entry = in_state(S.UNDERWAY, baseline=("m1",), attempt=2)
    assert Leader().look(entry, THERE, [evacuation("m1", "done"), evacuation("m2", "accepted")]).state is S.MOVED


def test_completed_on_the_old_host_is_a_lost_guest() -> None:
    """The return of the source ended the record and destroyed the guest: never taken for success."""
    assert Leader().look(in_state(S.UNDERWAY), HERE, [evacuation("m1", "completed")]).state is S.STUCK


def test_a_failed_attempt_is_tried_elsewhere() -> None:
    """With the task ended; while a task is set somebody may still be at it."""
    leader, failed = Leader(), [evacuation("m1", "failed")]
    assert leader.look(in_state(S.UNDERWAY), REBUILDING, failed).state is S.UNDERWAY
    found = leader.look(in_state(S.UNDERWAY), HERE, failed)
    assert found.state is S.PENDING and found.avoid == ("c2",) and not found.pinned


def test_attempts_end() -> None:
    """Three times ERROR is enough for a tenant."""
    spent = in_state(S.UNDERWAY, attempt=POLICY.evacuate_attempts)
    assert Leader().look(spent, HERE, [evacuation("m1", "error")]).state is S.FAILED


def test_an_open_record_is_not_repeated_while_its_target_may_run_it() -> None:
    """Nova has no timer for it; only a person or the target's proven death ends it."""
    leader, entry, records = Leader(), in_state(S.UNDERWAY), [evacuation("m1", "pre-migrating")]
    assert leader.look(entry, REBUILDING, records).state is S.UNDERWAY
    assert leader.look(entry, REBUILDING, records, after_s=POLICY.hard_deadline_s + 1).state is S.STUCK


def test_a_target_that_is_proven_off_frees_its_instances() -> None:
    """2.2 (c): what was to run there cannot any more; it is excluded."""
    leader = Leader(others={"c2": HostRecovery("c2", "c2-1", HostState.FENCED, "", "")})
    found = leader.look(in_state(S.UNDERWAY), REBUILDING, [evacuation("m1", "pre-migrating")])
    assert found.state is S.PENDING and "c2" in found.avoid
    assert not leader.ready, "waits its pause first"
    leader.look(found, REBUILDING, [evacuation("m1", "pre-migrating")], after_s=POLICY.retry_s + 1)
    assert leader.ready, "its record stays open for ever, and does not hold it back"


def test_a_target_that_is_only_being_fenced_frees_nobody() -> None:
    """It may still run the guest."""
    leader = Leader(others={"c2": HostRecovery("c2", "c2-1", HostState.FENCING, "", "")})
    assert leader.look(in_state(S.UNDERWAY), REBUILDING, [evacuation("m1", "pre-migrating")]).state is S.UNDERWAY


def test_somebody_elses_evacuation_is_followed() -> None:
    """Masakari, or an operator: never a second request beside it."""
    leader = Leader()
    found = leader.look(in_state(S.PENDING, attempt=0, ours=False), REBUILDING, [evacuation("m1", "accepted")])
    assert found.state is S.UNDERWAY and not leader.ready


def test_a_migrating_instance_waits_for_its_record() -> None:
    """It may run on the other side already."""
    leader, moving = Leader(), instance(task_state="migrating")
    live = replace(evacuation("m1", "running"), kind="live-migration")
    assert leader.look(in_state(S.PENDING, attempt=0), moving, [live]).state is S.PENDING
    assert not leader.ready
    assert leader.look(in_state(S.PENDING, attempt=0), moving, [live], after_s=POLICY.hard_deadline_s + 1).state is S.STUCK


def test_a_dying_instance_is_never_posted() -> None:
    """Nova does not look at the task and would resurrect it."""
    assert Leader().look(in_state(S.PENDING, attempt=0), instance(task_state="deleting")).state is S.GONE


def test_a_task_of_the_dead_host_does_not_hold_it_back() -> None:
    """A stop that its owner asked of a dead host never ends; Nova evacuates it all the same."""
    leader = Leader()
    leader.look(in_state(S.PENDING, attempt=0), instance(task_state="powering-off"))
    assert leader.ready


def test_error_on_the_new_host_is_not_success() -> None:
    """A late loser leaves ERROR on a guest that runs: a person decides."""
    found = Leader().look(in_state(S.MOVED), instance(on="c2", vm_state="error", power_state="nostate"))
    assert found.state is S.STUCK


def test_our_lock_is_taken_off_before_it_counts_as_verified() -> None:
    """A tracked step: a locked instance is a broken promise to its owner."""
    leader, entry = Leader(), in_state(S.MOVED)
    locked = instance(on="c2", locked=True, locked_reason="hanode: c1-1")
    assert leader.look(entry, locked).state is S.MOVED
    assert leader.look(entry, THERE, after_s=1).state is S.VERIFIED


def test_a_users_lock_stays() -> None:
    """It was there before us."""
    entry = in_state(S.MOVED, before=Before("active", "running", True), unlocked=True)
    assert Leader().look(entry, instance(on="c2", locked=True, locked_reason="mine")).state is S.VERIFIED


# --------------------------------------------------------------------------- an old list, a lost journal


def test_how_an_evacuation_ended_is_asked_of_the_instance_itself_afterwards() -> None:
    """A reading from before the record ended shows what was true before it."""
    leader = Leader()
    failed = [evacuation("m1", "failed")]
    assert leader.look(in_state(S.UNDERWAY), HERE, failed, read_s=leader.now_s - 5).state is S.UNDERWAY
    assert leader.look(in_state(S.UNDERWAY), HERE, failed, after_s=1).state is S.PENDING


def test_a_lock_tells_of_a_request_that_the_journal_has_lost() -> None:
    """The journal was put back to before the intent: the request may be on its way, so it is not made a second time."""
    leader = Leader()
    lost = instance(locked=True, locked_reason="hanode: c1-1 #1 to c3")
    found = leader.look(in_state(S.PENDING, attempt=0, target="", ours=False), lost)
    assert (found.state, found.target, found.attempt, found.ours) == (S.REQUESTED, "c3", 1, True)
    assert not leader.ready
    assert leader.look(found, lost, after_s=1).state is S.REQUESTED
    assert leader.look(found, lost, after_s=POLICY.repost_settle_s - 1).state is S.REQUESTED
    settled = leader.look(found, lost, after_s=1)
    assert settled.state is S.PENDING and settled.pinned and settled.target == "c3"


def test_the_lock_of_an_attempt_that_is_known_tells_nothing_new() -> None:
    """It was not posted, and may be asked again."""
    known = instance(locked=True, locked_reason="hanode: c1-1 #1 to c2")
    assert Leader().look(in_state(S.PENDING, attempt=1), known).state is S.PENDING


def test_a_lock_of_another_incident_or_of_a_user_tells_nothing() -> None:
    """Only this incident's own requests can be under way."""
    for reason in ("hanode: c1-0 #1 to c2", "mine", "hanode: agent-down"):
        found = Leader().look(in_state(S.PENDING, attempt=0, ours=False), instance(locked=True, locked_reason=reason))
        assert found.state is S.PENDING


def test_an_instance_found_elsewhere_with_our_lock_is_ours_to_unlock() -> None:
    """Its request is in no record any more; its owner would be locked out for ever."""
    moved = instance(on="c2", locked=True, locked_reason="hanode: c1-1 #1 to c2")
    found = Leader().look(in_state(S.PENDING, attempt=0, ours=False), moved)
    assert found.state is S.MOVED and found.ours


def test_a_stuck_instance_that_a_person_has_reset_is_asked_again_where_it_was_asked_before() -> None:
    """What its reason advises must lead somewhere: at home, no task, no record, and long enough."""
    leader, entry = Leader(), in_state(S.STUCK)
    reset = instance(vm_state="error")
    assert leader.look(entry, REBUILDING).state is S.STUCK
    assert leader.look(entry, reset, after_s=1).state is S.STUCK
    found = leader.look(entry, reset, after_s=POLICY.repost_settle_s)
    assert found.state is S.PENDING and found.pinned and found.target == "c2"


def test_a_stuck_instance_that_arrived_by_an_older_record_is_out_of_it() -> None:
    """Nova used the oldest accepted record; the newer one stays accepted for ever."""
    records = [evacuation("m1", "done"), evacuation("m2", "accepted")]
    arrived = instance(on="c2", locked=True, locked_reason="hanode: c1-1 #2 to c2")
    assert Leader().look(in_state(S.STUCK), arrived, records).state is S.MOVED
