"""What does a daemon do, once? Renew the office, observe, decide, commit, and only then act.

Crash-only: whatever goes wrong in a tick is dropped, and the next one begins from the journal and the world again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hanode import metrics
from hanode.core.decide import decide
from hanode.core.decisions import Decisions, Level, Note, Timers
from hanode.core.facts import Reading
from hanode.core.findings import Finding
from hanode.core.model import Age, Moment, Outcome, Snapshot, WantKind
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery, Records
from hanode.core.remedy import assessed
from hanode.engine.age import Ages
from hanode.engine.inquiry import Inquiry
from hanode.engine.ledger import Book, Guard, Ledger
from hanode.engine.narrate import Narrator, narrate
from hanode.engine.observe import Observer
from hanode.engine.office import Office
from hanode.engine.phases import Phases
from hanode.engine.status import Rows, published, summary
from hanode.engine.stocktake import take_stock
from hanode.engine.witness import Witness
from hanode.engine.workers import Workers
from hanode.errors import Ambiguous, Deposed, JournalConflict, Refused, Unreachable
from hanode.ports import Clock, Cloud, Executor, Fencer, Probe, Programs

STATUS_EVERY_S = 10.0
HOUR_S = 3600.0
MOST_PATIENT = 5
"""Hand-overs that count: after so many within the hour a leader waits 32 times as long."""

CAPACITY_COMPARISONS = 200_000
"""The leader plans fewer failures one by one than `hanode capacity` does, and proves a bound instead: a second of one core."""


class Term:
    """Everything a leader holds in memory; it begins empty with each taking of office and is dropped whole."""

    def __init__(self, guard: Guard, node: str, observer: Observer, workers: Workers, timers: Timers) -> None:
        self.guard, self.observer, self.workers = guard, observer, workers
        self.timers = timers
        self.inquiry = Inquiry(guard.owner, node)
        self.outcomes: tuple[Outcome, ...] = ()  # not yet part of a committed decision
        self.status: tuple[Mapping[str, Any], float] = ({}, float("-inf"))  # what was last published, and when
        self.rows = Rows()
        self.decided: Decided | None = None
        self.phases = Phases()
        self.ages = Ages()
        self.hand_over = ""


@dataclass(frozen=True)
class Decided:
    """The last decision, and what it rested on."""

    snapshot: Snapshot
    book: Book
    decisions: Decisions

    def stands(self, snapshot: Snapshot, book: Book, now_s: float) -> bool:
        """Nothing is new and its time has not come: `decide`, which is pure, would say nothing new either."""
        former, newer = _telling(self.snapshot), _telling(snapshot)
        # By identity: each reading is an object of its own, and comparing two fleets costs as much as deciding.
        # What is not there any more was not wanted by the last decision, so it brings nothing new by going.
        same = former.keys() >= newer.keys() and all(former[key] is reading for key, reading in newer.items())
        same = same and (snapshot.witnessed, snapshot.willing) == (self.snapshot.witnessed, self.snapshot.willing)
        quiet = not snapshot.outcomes and not book.commands and snapshot.in_flight == self.snapshot.in_flight
        due = bool(self.decisions.holds) or now_s >= self.decisions.wake_s  # a hold may end by time alone
        return quiet and same and not due and book.revisions == self.book.revisions


class Engine:
    def __init__(
        self,
        cloud: Cloud,
        fencer: Fencer,
        probe: Probe,
        programs: Programs,
        ledger: Ledger,
        office: Office,
        clock: Clock,
        executor: Executor,
        policy: Policy,
        narrator: Narrator,
        node: str = "",
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._cloud, self._fencer, self._probe, self._programs = cloud, fencer, probe, programs
        self._ledger, self._office, self._clock, self._executor = ledger, office, clock, executor
        self._policy, self._narrator, self._node = policy, narrator, node
        self.wake = wake or (lambda: None)
        self._term: Term | None = None
        self._witness = Witness(node, ledger.stand, self._observer, policy.ears)
        self._handed_over_s: tuple[float, ...] = ()
        self.status: Mapping[str, Any] = {}
        self.summary = "standby: has not looked yet"
        self.trouble = ""  # why the last tick could not do its work; empty when it did

    # ------------------------------------------------------------------ the tick

    def tick(self) -> float:
        """One round; how many seconds may pass until the next is useful. Raises only what no waiting can heal."""
        now = self._clock.now()
        renew_s = self._policy.lease_ttl_s / 5
        if not self._office.tick(now):
            just_left = self._term is not None  # then why it was left is told, before anything else is tried
            self._stand_by("" if just_left else self._bear_witness(now))
            return renew_s
        term = self._term_of(now)
        try:
            wake_s = self._lead(term)
            self.trouble = ""
            if term.hand_over:
                self._hand_over(term.hand_over)
                return renew_s
        except Deposed as error:
            self._stand_by(str(error))
            return 0.0
        except (Unreachable, Ambiguous, JournalConflict, Refused) as error:
            # Nothing of this tick was performed; what its commit may have left is read again by the next.
            self.trouble = str(error)
            return min(1.0, renew_s)
        return max(0.0, min(wake_s - self._clock.now().s, renew_s))

    def _lead(self, term: Term) -> float:
        looked = self._clock.now()
        book = self._ledger.load()
        ages = term.ages.look(book.commands, looked)
        fresh = term.workers.outcomes()
        for outcome in fresh:
            self._narrator.outcome(outcome)
        term.outcomes += fresh
        self._fencer.expect(book.records.roster.identities)
        snapshot = self._snapshot(term, book, ages)
        now = self._clock.now()
        if term.decided is not None and term.decided.stands(snapshot, book, now.s):
            return self._wait(term, term.decided.decisions)
        decisions = decide(snapshot, book.records, term.timers, self._policy, now)
        if decisions.hand_over:
            # Nothing of this tick is begun, nor even promised: whoever comes next decides by what he sees.
            term.hand_over = decisions.hand_over
            self._narrator.note(Note(Level.ALARM, "hand-over", "", f"hands its office over: {decisions.hand_over}"))
            return now.s
        self._commit(term, decisions, book.records, now)
        term.timers, term.outcomes = decisions.timers, ()
        records = _after(book.records, decisions)
        narrate(self._narrator, decisions, records, self.status)
        ended = [closed.record for closed in decisions.closes]
        for phase, lasted_s in term.phases.follow([*records.values(), *ended], term.timers.beats, now):
            metrics.phase_ended(phase, lasted_s)
        # Only here, after the commit: no act whose intent a later leader could not read.
        term.workers.dispatch(decisions.actions)
        term.decided = Decided(snapshot, book, decisions)
        return self._wait(term, decisions)

    def _wait(self, term: Term, decisions: Decisions) -> float:
        """Begin the reads that are due; when the next tick is."""
        reads = [want for want in decisions.wants if want.kind is not WantKind.WITNESS]
        return min(decisions.wake_s, term.observer.want(reads, self._clock.now().s))

    def _snapshot(self, term: Term, book: Book, ages: Mapping[str, Age]) -> Snapshot:
        testimonies = self._ledger.stand.testimonies() if term.inquiry.is_open else {}
        return Snapshot(
            readings=term.observer.readings(),
            witnessed=term.inquiry.heard(testimonies),
            willing=term.inquiry.willing(testimonies),
            outcomes=term.outcomes,
            in_flight=term.workers.in_flight(),
            commands=book.commands,
            ages=ages,
        )

    def _commit(self, term: Term, decisions: Decisions, before: Records, now: Moment) -> None:
        records = _after(before, decisions)
        fleet = term.observer.fleet()
        roster = decisions.roster or before.roster
        status = published(decisions, records, roster, fleet, self._policy, term.guard, self._node, now, term.rows)
        news = self._news(term, status, now)
        self.status, self.summary = status, summary(status, records)
        asked = term.inquiry.next(decisions.wants, fleet, now.s)
        changes = (decisions.writes, decisions.closes, decisions.forgets, decisions.roster, decisions.answers)
        if news is None and asked is None and not any(changes):
            return
        self._ledger.commit(term.guard, *changes, news, asked)
        if news is not None:
            term.status = (status, now.s)

    def _news(self, term: Term, status: Mapping[str, Any], now: Moment) -> Mapping[str, Any] | None:
        """Published when something in it changed, and now and then, so that a stale one is seen to be stale."""
        said, at_s = term.status
        return status if now.s - at_s >= STATUS_EVERY_S or _facts(said) != _facts(status) else None

    # ------------------------------------------------------------------ office

    def _term_of(self, now: Moment) -> Term:
        guard = self._office.guard
        if self._term is None or self._term.guard != guard:
            workers = Workers(self._cloud, self._fencer, self._programs, self._clock, self._executor, self._office, guard, self._woken)
            patience_s = self._policy.hand_over_after_s * 2 ** len(self._lately(now.s))
            self._term = Term(guard, self._node, self._observer(), workers, Timers(now.s, hand_over_after_s=patience_s))
            self._witness.rest()
        return self._term

    def _observer(self) -> Observer:
        capacity = self._look_at_capacity
        return Observer(self._cloud, self._fencer, self._probe, self._programs, self._clock, self._executor, self._woken, capacity)

    def _lately(self, now_s: float) -> tuple[float, ...]:
        """When this process has handed over within the hour: each time makes it wait longer, so that two never pass office to and fro."""
        self._handed_over_s = tuple(at_s for at_s in self._handed_over_s if now_s - at_s <= HOUR_S)[-MOST_PATIENT:]
        return self._handed_over_s

    def _hand_over(self, why: str) -> None:
        self._handed_over_s = (*self._handed_over_s, self._clock.now().s)
        self._office.stand_back(f"hands over: {why}")
        self._stand_by(f"hands over: {why}")

    def _bear_witness(self, now: Moment) -> str:
        """As a standby: tell the leader what is seen from here; what kept us from it."""
        if not self._office.hears:
            return ""
        try:
            self._witness.tick(self._office.leader, not self._office.stands_back, now)
        except (Unreachable, Ambiguous, Refused) as error:
            return f"cannot testify: {error}"
        return ""

    def _look_at_capacity(self) -> tuple[Finding, ...]:
        """In a reader's thread, host after host: nobody waits for it, and it must not hurt Nova."""
        decided = self._term.decided if self._term else None
        records = decided.book.records if decided else Records()
        stock = take_stock(self._cloud, self._policy, maintained=records.roster.maintenance, recovering=records.hosts)
        return assessed(stock, self._policy, CAPACITY_COMPARISONS)

    def _stand_by(self, why: str = "") -> None:
        if self._term is not None:
            self._term.observer.rest()
        self._term = None
        self.status = {}
        self.trouble = why
        self.summary = f"{self._office.state}: {why or self._office.why_not}"

    def _woken(self) -> None:
        self.wake()

    @property
    def leads(self) -> bool:
        return self._term is not None

    @property
    def ready(self) -> bool:
        """Leads, or could take over: the journal answers it."""
        return self.leads or self._office.hears

    @property
    def busy(self) -> frozenset[str]:
        """Actions still under way."""
        return self._term.workers.in_flight() if self._term else frozenset()

    def resign(self) -> None:
        """Hand over: another may take office at once. What runs already is known to it by its intent."""
        self._office.resign()
        self._stand_by("resigned")

    def reload(self, policy: Policy) -> None:
        """Judge by this from the next tick on. What is known of devices and stores rests on the old descriptions, and is forgotten."""
        self._policy = policy
        self._witness.networks = policy.ears
        if self._term is not None:
            self._term.decided = None
            self._term.timers = replace(self._term.timers, checks={}, power={}, access={})
            self._term.observer.forget({WantKind.CHECK, WantKind.POWER, WantKind.ACCESS, WantKind.STORE})


def _telling(snapshot: Snapshot) -> Mapping[tuple[WantKind, str], Reading[object]]:
    """What must be decided on at once: not what devices said to a check without need, which is looked at with the next poll of Nova."""
    return {key: reading for key, reading in snapshot.readings.items() if key[0] is not WantKind.CHECK}


def _after(before: Records, decisions: Decisions) -> dict[str, HostRecovery]:
    ended = {closed.record.host for closed in decisions.closes} | set(decisions.forgets)
    kept = {host: record for host, record in before.hosts.items() if host not in ended}
    return dict(sorted({**kept, **{record.host: record for record in decisions.writes}}.items()))


def _facts(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status without the time of day and the counters of evidence, for telling whether anything changed."""
    if not status:
        return status
    moods = {"evidence": "", "signals": "", "reason": ""}
    unwell = {name: {**host, **moods} for name, host in status["hosts"].items() if "evidence" in host}
    unsteady = {"updated_at": "", "unchecked": 0, "unprotected": sorted(status["unprotected"]), "leader": status["leader"]["owner"]}
    return {**status, **unsteady, "hosts": {**status["hosts"], **unwell}}
