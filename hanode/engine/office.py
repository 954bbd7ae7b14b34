"""May this process act as the leader right now?

The invariant: at any moment at most one process is in office by its own clock. It holds because

- an office lasts until its deadline, counted from *before* its last renewal was sent, and `margin_s` short of the TTL;
- a candidate takes office only after it saw epoch and renewal unchanged for one whole TTL, counted from *after* the
  read that first showed them: a renewal that it saw was sent before that, so its deadline has passed meanwhile;
- taking office compares the revisions of both keys: a renewal that it did not see makes it fail.

The lock of `Leadership` only decides who tries, so that candidates do not race. What it says is never proof, and its
failures never end an office. A clock that stood still with its machine is caught by the guard of every write, and by
`prove` before every irreversible act.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from hanode import metrics
from hanode.core.model import Moment
from hanode.engine.codec import Epoch, Renewal
from hanode.engine.ledger import Guard, Ledger, Standing
from hanode.errors import Ambiguous, Deposed, HanodeError, Refused, Unreachable
from hanode.ports import Clock, Leadership

_TRANSIENT = (Unreachable, Ambiguous, Refused)
"""What a journal out of reach raises. Anything else (a foreign or newer journal) is for the daemon to end by."""


def fresh_owner() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class _Term:
    """One taking of office. Replaced as a whole, so that other threads always see a deadline with its own guard."""

    guard: Guard
    epoch: Epoch
    deadline_s: float
    renewals: int = 0  # sent
    kept: int = 0  # of them, the newest that the journal is known to have kept


class Office:
    """`tick` and `resign` belong to the tick thread; `prove`, `in_office` and `guard` may be used from any thread."""

    def __init__(
        self,
        ledger: Ledger,
        leadership: Leadership,
        clock: Clock,
        *,
        node: str,
        ttl_s: float,
        margin_s: float,
        owner_factory: Callable[[], str] = fresh_owner,
    ) -> None:
        self._ledger = ledger
        self._leadership = leadership
        self._clock = clock
        self._node = node
        self._ttl_s = ttl_s
        self._margin_s = margin_s
        self._fresh_owner = owner_factory
        self._term: _Term | None = None
        self._seen: Standing | None = None
        self._seen_s = 0.0
        self._own: set[str] = set()  # every owner this process ever called itself
        self._has_lock = False
        self._back_until_s = float("-inf")
        self.why_not = "has not looked yet"
        """Why this process is not in office, or what is wrong although it is; empty when all is well."""
        self.hears = False
        """Did the journal answer in the last tick?"""

    # ------------------------------------------------------------------ questions

    @property
    def state(self) -> str:
        """ "in office" | "candidate" (has the lock and waits) | "standby"."""
        if self._term is not None:
            return "in office"
        return "candidate" if self._has_lock else "standby"

    @property
    def guard(self) -> Guard:
        """What `Ledger.commit` compares; raises Deposed when not in office."""
        if self._term is None:
            raise Deposed(f"not in office: {self.why_not}")
        return self._term.guard

    @property
    def deadline_s(self) -> float:
        """Until when we are in office without another renewal, on our own clock."""
        return self._term.deadline_s if self._term else float("-inf")

    def in_office(self, now: Moment) -> bool:
        return now.s < self.deadline_s

    def prove(self, now: Callable[[], Moment] | None = None, guard: Guard | None = None) -> None:
        """A fresh proof of office, for the moment before an irreversible act. Raises Deposed.

        Give the `guard` under which the act was decided: otherwise an act that was left over from an earlier office of
        this process is proven by a later one. When the journal cannot be read, its Unreachable or Ambiguous is raised:
        nothing is proven.
        """
        now = now or self._clock.now
        proven = guard or self.guard
        self._check_deadline(proven, now())
        if not self._ledger.epoch_stands(proven):
            raise Deposed("another has taken office, or the journal was wiped")
        # Again, after the read: it may have lasted longer than the office, and the process may have been paused.
        self._check_deadline(proven, now())

    @property
    def leader(self) -> str:
        """The owner of the office that is seen to be held; empty when it is free."""
        epoch = self._seen.epoch if self._seen else None
        return epoch.owner if epoch and not epoch.resigned else ""

    @property
    def stands_back(self) -> bool:
        return self._clock.now().s < self._back_until_s

    def _check_deadline(self, guard: Guard, now: Moment) -> None:
        term = self._term
        if term is None or term.guard != guard:
            raise Deposed(f"not in this office any more: {self.why_not or 'it was taken anew'}")
        if now.s >= term.deadline_s:
            raise Deposed(f"the office ran out {now.s - term.deadline_s:.1f} s ago without a renewal")

    # ------------------------------------------------------------------ the tick

    def tick(self, now: Moment) -> bool:
        """Renew the office, or try to take it; True when in office afterwards.

        Raises only what waiting does not cure: ForeignJournal, NewerSchema, CorruptEntry; the office is left then.
        """
        try:
            if self._term is not None:
                self._stay(self._term, now)
            else:
                self._try()
            self.hears = True
        except _TRANSIENT as error:
            self.hears = False
            # Until its deadline an office stands without the journal; each guarded write finds out for itself.
            self.why_not = f"the journal does not answer: {error}"
        except HanodeError as error:
            self._leave(str(error))
            raise
        return self.in_office(self._clock.now())

    def resign(self) -> None:
        """Hand over at once. Never raises: if the journal does not answer, the TTL does it."""
        term, self._term = self._term, None  # out first: nothing can be proven any more once another may take office
        self.why_not = "has resigned"
        if term is not None:
            with contextlib.suppress(HanodeError):
                self._ledger.resign_office(term.guard, replace(term.epoch, resigned=True))
        self._has_lock = False
        self._leadership.resign()

    def stand_back(self, why: str) -> None:
        """Resign in favour of another, and do not try for so long that any other has had its turn: two leases."""
        self._back_until_s = self._clock.now().s + 2 * self._ttl_s
        self.resign()
        self.why_not = why

    # ------------------------------------------------------------------ in office

    def _stay(self, term: _Term, now: Moment) -> None:
        if now.s >= term.deadline_s:
            self._leave("the office ran out before it could be renewed")
            return
        standing = self._ledger.read_standing()
        if standing.guard != term.guard:
            self._leave(str(standing))
            return
        if standing.renewal is None or standing.renewal.count < term.kept:
            # Records and intents are gone as well: whoever goes on with what he remembers would post again what was posted.
            self._leave("the journal went back: it was restored from an older copy while we were in office")
            return
        term = replace(term, renewals=term.renewals + 1)
        self._term = term  # counted before it is sent: each renewal has its own text, by which it is found again
        renewal = self._renewal(term.guard, term.renewals, now)
        if self._ledger.renew(term.guard, standing, renewal):
            self._term = replace(term, deadline_s=self._deadline(now), kept=term.renewals)
            metrics.office_renewed()
        elif not self._ledger.epoch_stands(term.guard):
            self._leave(str(self._ledger.read_standing()))
            return
        # Else an earlier renewal of ours came late and got in between: the next tick reads it and goes on.
        self.why_not = self._lock_problem()  # in office this is only a remark

    def _leave(self, why: str) -> None:
        self._term = None
        self._seen = None
        self.why_not = why

    # ------------------------------------------------------------------ candidate

    def _try(self) -> None:
        # Watched without the lock, too: when the lock of a dead leader comes free, its TTL has passed already.
        standing = self._ledger.read_standing()
        if standing != self._seen:
            self._seen, self._seen_s = standing, self._clock.now().s
        if self.stands_back:  # the lock is left to others; should nobody have taken office by then, we may again
            self.why_not = "stands back, because another sees what it could not"
            return
        self.why_not = self._lock_problem()
        if not self._has_lock:
            return
        left_s = self._wait_s(standing)
        if left_s > 0:
            self.why_not = f"{standing}; takes over in {left_s:.0f} s unless that shows life"
            return
        self._take(standing)

    def _wait_s(self, standing: Standing) -> float:
        """How much longer the standing must be seen unchanged before its holder is certainly out."""
        epoch = standing.epoch
        # An epoch of our own that we are not in: nobody else can be in it either, and we know that we left it.
        if epoch is None or epoch.resigned or epoch.owner in self._own:
            return 0.0
        # The holder's TTL may be another than ours while a changed configuration is being rolled out.
        ttl_s = max(self._ttl_s, standing.renewal.ttl_s if standing.renewal else 0.0)
        return self._seen_s + ttl_s - self._clock.now().s

    def _take(self, standing: Standing) -> None:
        now = self._clock.now()
        term = standing.epoch.term + 1 if standing.epoch else 1
        owner = self._fresh_owner()
        self._own.add(owner)
        epoch = Epoch(term, owner, self._node, now.at)
        guard = self._ledger.take_office(standing, epoch, self._renewal(Guard(term, owner, 0), 0, now))
        if guard is None:
            self.why_not = "another was faster to take office"
            return
        self._term = _Term(guard, epoch, self._deadline(now))
        metrics.office_renewed()
        self._seen = None
        self.why_not = ""

    # ------------------------------------------------------------------ both

    def _lock_problem(self) -> str:
        """Hold or refresh the lock; why we do not have it, empty if we do."""
        try:
            self._has_lock = self._leadership.hold()
        except HanodeError as error:
            self._has_lock = False
            return f"the lock does not answer: {error}"
        return "" if self._has_lock else "another node holds the lock"

    def _renewal(self, guard: Guard, count: int, now: Moment) -> Renewal:
        return Renewal(guard.term, guard.owner, count, now.at, self._ttl_s)

    def _deadline(self, sent: Moment) -> float:
        return sent.s + self._ttl_s - self._margin_s
