"""What if an instance were asked for twice, or somewhere where its disk is not? Mutants of S3 and S6."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from hanode.core import follow, posting
from hanode.core.facts import Instance
from hanode.core.lifecycle import InstanceState
from hanode.core.model import Call
from hanode.core.policy import StorageDomain
from hanode.core.records import InstanceRecovery
from hanode.core.room import Ask
from hanode.core.storage import Lost, Survives, survival
from hanode.core.view import View
from tests.sim.mutants_base import always, caught, changed

Rule = Callable[[View, InstanceRecovery, Instance], InstanceRecovery]

# --------------------------------------------------------------------------- S3: at most one evacuation in flight


@caught("S3", "post-arrives-while-settling")
def posts_again_at_once_after_a_timeout() -> Iterator[None]:
    """Takes a timeout for "not posted" and does not wait for repost_settle_s."""
    with _impatient():
        yield


@caught("S3", "post-arrives-while-settling")
def posts_again_to_another_target() -> Iterator[None]:
    """Asks another host after a timeout, where a late first request does not meet the second."""
    post = posting._post

    def elsewhere(seen: View, ask: Ask, *rest: object) -> InstanceRecovery:
        entry = ask.record
        avoid = (*entry.avoid, entry.target) if entry.pinned else entry.avoid
        return post(seen, replace(ask, record=replace(entry, pinned=False, avoid=avoid)), *rest)  # type: ignore[arg-type]
    with changed("core.posting._post", elsewhere), _impatient():
        yield


@caught("S3", "foreign-evacuation")
def does_not_look_for_evacuations_of_others() -> Iterator[None]:
    """Posts although an administrator's evacuation of the same instance is running."""
    with changed("core.follow._open", always([])), changed("core.follow._is_busy", always(False)):
        yield


@caught("S1", "targets-agent-dies-mid-rebuild")
def takes_a_slow_target_for_dead() -> Iterator[None]:
    """Asks another host although the first one may still run the guest."""
    with changed("core.follow.proven_off", always(True)):
        yield


@caught("S3", "targets-agent-dies-mid-rebuild")
def tries_again_at_the_deadline() -> Iterator[None]:
    """Asks again instead of saying STUCK."""
    underway = follow._underway

    def again(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
        found = underway(v, entry, now)
        if found.state is not InstanceState.STUCK:
            return found
        return replace(entry, state=InstanceState.PENDING, target="", pinned=False, attempt=entry.attempt)
    with _rule(InstanceState.UNDERWAY, again), changed("core.follow._open", always([])), changed("core.follow._is_busy", always(False)):
        yield


@contextmanager
def _rule(state: InstanceState, rule: Rule) -> Iterator[None]:
    with patch.dict(follow.RULES, {state: rule}):
        yield


@contextmanager
def _impatient() -> Iterator[None]:
    """The rule for REQUESTED with a settling time of nothing."""
    requested = follow._requested

    def at_once(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
        policy = v.draft.policy
        v.draft.policy = replace(policy, repost_settle_s=0.0)
        try:
            return requested(v, entry, now)
        finally:
            v.draft.policy = policy
    with _rule(InstanceState.REQUESTED, at_once):
        yield


@caught("S3", "journal-restored-second-attempt")
def leaves_the_lock_of_an_earlier_attempt() -> Iterator[None]:
    """Does not lock again for a second attempt, so that a journal which is put back has nothing to learn of it from."""
    with changed("core.posting._is_locked", lambda now, *_: now.locked):
        yield


@caught("S1", "requests-collide")
def takes_two_failed_records_for_a_failure() -> Iterator[None]:
    """Asks elsewhere when a second request has met the first, whose guest Nova does not destroy."""
    with changed("core.follow.collided", always(False)):
        yield


# --------------------------------------------------------------------------- S6: no data lost


@caught("S6", "unmounted-target")
def lets_nova_rebuild_on_a_share_that_is_not_mounted() -> Iterator[None]:
    """Posts without `onSharedStorage`, so that Nova makes a new disk where it does not find the old one."""
    def by_scheduler(instance: Instance, source: StorageDomain | None, target: StorageDomain | None) -> Survives | Lost:
        found = survival(instance, source, target)
        return Survives(Call.SCHEDULED) if isinstance(found, Survives) else found
    with changed("core.constraints.survival", by_scheduler):
        yield


@caught("S6", "other-storage-domain")
def targets_any_storage_domain() -> Iterator[None]:
    """Takes every host for one that sees the disks."""
    with changed("core.constraints.survival", lambda instance, source, _: survival(instance, source, source)):
        yield


@caught("S6", "undeclared-local-disks")
def guesses_where_nothing_is_declared() -> Iterator[None]:
    """Evacuates an instance with a local disk although nobody has said where its disk lies."""
    def hopeful(instance: Instance, source: StorageDomain | None, target: StorageDomain | None) -> Survives | Lost:
        return survival(instance, source, target) if source else Survives(Call.SCHEDULED)
    with changed("core.constraints.survival", hopeful):
        yield


@caught("S6", "storage-kind-misspelt")
def takes_what_it_does_not_know_for_ceph() -> Iterator[None]:
    """Believes of every store that is not called `file` that its disks are always found."""
    def trusting(instance: Instance, source: StorageDomain | None, target: StorageDomain | None) -> Survives | Lost:
        found = survival(instance, source, target)
        return Survives(Call.SCHEDULED) if isinstance(found, Survives) and source and source.kind != "file" else found
    with changed("core.constraints.survival", trusting):
        yield


@caught("L1", "stopped-first")
def leaves_off_what_arrives_stopped() -> Iterator[None]:
    """Never finds that it is the turn of an instance that was moved to be started later."""
    with changed("core.follow.start_waits_for", lambda _, entry: "for ever" if entry.is_to_start else ""):
        yield


@caught("promise", "stopped-first")
def starts_in_no_order() -> Iterator[None]:
    """Starts what has arrived stopped as soon as it is there."""
    with changed("core.follow.start_waits_for", always("")):
        yield
