"""What if an instance were forgotten, or a host taken back too early? Mutants of S7, S8 and L1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from unittest.mock import patch

from hanode.core import accounts, fence, follow, judge
from hanode.core.decisions import Judgement, Verdict
from hanode.core.draft import Draft
from hanode.core.facts import Host, Instance, Migration
from hanode.core.judge import Evidence
from hanode.core.lifecycle import TO_DO, InstanceState
from hanode.core.model import Action, ActionKind
from hanode.core.policy import Policy
from hanode.core.posting import Source
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.core.view import View
from hanode.engine.office import Office
from tests.sim.mutants_base import always, caught, changed

# --------------------------------------------------------------------------- S7: taken back too early


@caught("S7", "release-waits-for-the-other-host")
def does_not_wait_for_the_records() -> Iterator[None]:
    """Takes a host back as soon as it is told to, whatever evacuation records name it."""
    def blocked(draft: Draft, record: HostRecovery) -> str | None:
        return None if record.release_asked else "waits for your word"
    with changed("core.home._blocked", blocked):
        yield


@caught("S7", "release-waits-for-the-other-host")
def takes_a_done_record_for_finished() -> Iterator[None]:
    """Waits only for the records of evacuations that are under way."""
    with patch.object(Migration, "blocks_release", property(lambda m: m.kind == "evacuation" and m.is_open)):
        yield


@caught("S7", "agent-back-mid-rebuild")
def enables_a_host_that_has_left_a_rebuild_open() -> Iterator[None]:
    """Enables a host as soon as its nova-compute reports again, whatever evacuation to it is open."""
    def unshield(draft: Draft, e: Evidence) -> None:
        action = Action(e.host.name, ActionKind.ENABLE, "agent-down", service_id=e.host.service.service_id)
        draft.act(action, draft.policy.retry_s)
    with changed("core.decide._unshield", unshield):
        yield


# --------------------------------------------------------------------------- S8: everybody is accounted for


@caught("S8", "instance-table")
def forgets_paused_instances() -> Iterator[None]:
    """Leaves out of its account what Nova does not evacuate."""
    classify = accounts.classify

    def without_paused(instance: Instance, policy: Policy, images: frozenset[str]) -> tuple[InstanceState, str] | None:
        return None if instance.vm_state == "paused" else classify(instance, policy, images)
    with changed("core.accounts.classify", without_paused), changed("core.follow.classify", without_paused):
        yield


@caught("S8", "instance-table")
def leaves_the_power_as_nova_makes_it() -> Iterator[None]:
    """Does not put back the power state from before the failure."""
    with changed("core.follow.wrong_power", always(False)):
        yield


@caught("S8", "host-panics")
def never_unlocks() -> Iterator[None]:
    """Leaves its own locks on."""
    with changed("core.follow.tidy", lambda _, entry, *__: replace(entry, unlocked=True)):
        yield


@caught("S8", "user-lock-stays")
def takes_every_lock_away() -> Iterator[None]:
    """Does not tell its owner's lock from its own."""
    account = accounts.account

    def unlocked(*facts: object) -> InstanceRecovery | None:
        entry = account(*facts)  # type: ignore[arg-type]
        return replace(entry, before=replace(entry.before, locked=False)) if entry else None
    with changed("core.accounts.account", unlocked), changed("core.restore.MARKER", ""):
        yield


@caught("L1", "newcomer")
def reads_its_instances_only_once() -> Iterator[None]:
    """Knows only those instances that were on the host when it fell silent."""
    def first_only(draft: Draft, record: HostRecovery, host: Host, since_s: float, every_s: float) -> Mapping[str, InstanceRecovery] | None:
        return record.instances or fence_read(draft, record, host, since_s, every_s)
    fence_read = fence.read_table
    with changed("core.fence.read_table", first_only), changed("core.evacuate.reread", first_only):
        yield


@caught("S8", "owner-deletes-during-evacuation")
def brings_deleted_instances_back() -> Iterator[None]:
    """Evacuates what its owner is deleting."""
    with changed("core.accounts.LEAVING", frozenset()):
        yield


@caught("S8", "late-loser-at-the-release")
def looks_back_at_nobody() -> Iterator[None]:
    """Takes what is verified for safe from attempts that come too late."""
    with changed("core.latecomers._is_contested", always(False)):
        yield


# --------------------------------------------------------------------------- L1: nobody waits without need


@caught("L1", "no-room")
def never_asks_again_for_those_that_wait() -> Iterator[None]:
    """Gives up what could not be placed at once."""
    with changed("core.posting.TO_DO", frozenset({InstanceState.PENDING})):
        yield


@caught("L1", "unmounted-target")
def gives_up_after_one_attempt() -> Iterator[None]:
    """Says FAILED as soon as Nova refuses once."""
    with changed("core.follow.is_spent", always(True)):
        yield


@caught("L1", "host-reboots-by-itself")
def leaves_guests_off_at_home() -> Iterator[None]:
    """Does not start what ran before its host rebooted by itself."""
    def left(seen: View, entry: InstanceRecovery) -> InstanceRecovery:
        return entry
    with changed("core.home._bring_home", left):
        yield


@caught("L1", "leader-killed-mid-recovery")
def never_takes_over() -> Iterator[None]:
    """Waits for ever for a dead leader."""
    with patch.object(Office, "_wait_s", always(1.0)):
        yield


@caught("L1", "leader-killed-mid-recovery")
def takes_an_intent_for_a_request() -> Iterator[None]:
    """Takes what is written as REQUESTED for posted, although a leader may die between its intent and its request."""
    requested = follow._requested

    def waiting(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
        found = requested(v, entry, now)
        return entry if found.pinned else found
    with patch.dict(follow.RULES, {InstanceState.REQUESTED: waiting}):
        yield


@caught("L1", "held-then-proven-dead")
def keeps_a_corpse_held() -> Iterator[None]:
    """Does not let go of a host that is proven dead, because it fell silent under a hold."""
    def held(e: Evidence) -> Judgement | None:
        return Judgement(Verdict.HELD, "it fell silent under a hold") if e.host.name in e.roster.held else None
    with changed("core.judge.RULES", (held, *judge.RULES)):
        yield


@caught("S8", "second-host-dies-too")
def looks_for_an_instance_where_it_once_was() -> Iterator[None]:
    """Takes the last table in which an instance stands for the one by which it is posted."""
    def by_name(sources: Mapping[str, Source]) -> Mapping[str, str]:
        return {
            key: name
            for name, found in sorted(sources.items())
            for key, entry in found.seen.record.instances.items()
            if any(other.seen.draft.records[host].instances.get(key, entry).state in TO_DO for host, other in sources.items())
        }
    with changed("core.posting._homes", by_name):
        yield


@caught("S8", "returned-and-dies-with-its-leader")
def forgets_who_came_home() -> Iterator[None]:
    """Lets a host that it has not taken back yet be dead for ever, once its instances run on it again."""
    with changed("core.home.AT_STAKE", TO_DO):
        yield
