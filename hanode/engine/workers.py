"""How are decided actions performed? In workers, each behind a fresh proof of office; what came of it is an Outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from queue import SimpleQueue

from hanode.core.locks import LockReason
from hanode.core.model import Action, ActionKind, Call, Outcome, Result
from hanode.engine.ledger import Guard
from hanode.engine.office import Office
from hanode.errors import Ambiguous, Deposed, HanodeError, Refused, Unreachable
from hanode.ports import Clock, Cloud, Executor, Fencer, Programs

POWER = frozenset({ActionKind.POWER_OFF, ActionKind.POWER_ON, ActionKind.CUT, ActionKind.KEEP_CUT, ActionKind.RESTORE})


class Workers:
    """One per taking of office: `guard` is that office's, so that an act left over from it is never proven by a later one."""

    def __init__(
        self,
        cloud: Cloud,
        fencer: Fencer,
        programs: Programs,
        clock: Clock,
        executor: Executor,
        office: Office,
        guard: Guard,
        wake: Callable[[], None],
    ) -> None:
        self._cloud, self._fencer, self._programs, self._clock, self._executor = cloud, fencer, programs, clock, executor
        self._office, self._guard, self._wake = office, guard, wake
        self._in_flight: set[str] = set()
        self._called_s: dict[str, float] = {}  # action id -> when its call was sent
        self._finished: SimpleQueue[Outcome] = SimpleQueue()

    def _prove(self) -> None:
        self._office.prove(guard=self._guard)

    def _deposed(self) -> bool:
        return not self._office.in_office(self._clock.now()) or self._office.guard != self._guard

    def in_flight(self) -> frozenset[str]:
        return frozenset(self._in_flight)

    def outcomes(self) -> tuple[Outcome, ...]:
        """What has ended since the last call; each is handed out once."""
        found = []
        while not self._finished.empty():
            outcome = self._finished.get()
            self._in_flight.discard(outcome.action.action_id)
            found.append(outcome)
        return tuple(found)

    def dispatch(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._in_flight.add(action.action_id)
            self._executor.submit("fence" if action.kind in POWER else "act", lambda action=action: self._run(action))  # type: ignore[misc]

    def _run(self, action: Action) -> None:
        try:
            result, detail = self._attempt(action)
        except Exception as error:  # noqa: BLE001 - a defect of an adapter: nobody knows what it had sent
            result, detail = Result.AMBIGUOUS, f"{type(error).__name__}: {error} (a defect of hanode: report it)"
        now_s = self._clock.now().s
        self._finished.put(Outcome(action, result, detail, now_s, now_s - self._called_s.pop(action.action_id, now_s)))
        self._wake()

    def _attempt(self, action: Action) -> tuple[Result, str]:
        try:
            # S5: the last look before the effect. What remains is a process paused exactly between here and the call.
            self._prove()
        except HanodeError as error:
            return Result.NOT_SENT, f"no proof of office: {error}"
        if action.kind is ActionKind.EVACUATE:
            refused = self._prepare(action)
            if refused:
                return Result.NOT_SENT, refused
        if self._clock.now().s > action.until_s:
            return Result.NOT_SENT, "what it was decided by is too old by now"
        self._called_s[action.action_id] = self._clock.now().s
        return self._perform(action)

    def _prepare(self, action: Action) -> str | None:
        """Lock and settle, then prove office again, because that may have taken long; the POST has not left either way."""
        try:
            if action.lock:
                reason = LockReason(action.incident, action.attempt, action.target, action.call is Call.STOPPED)
                self._cloud.lock(action.instance_id, str(reason))
            if action.provider_id:
                # Another leader may have moved it while the lock was taken: its new allocation must not be thrown away.
                self._prove()
                self._cloud.settle_allocation(action.instance_id, action.provider_id)
            self._prove()
        except HanodeError as error:
            return f"not prepared: {error}"
        return None

    def _perform(self, action: Action) -> tuple[Result, str]:
        try:
            self._calls()[action.kind](action)
        except Refused as error:
            return Result.REFUSED, str(error)
        except Unreachable as error:
            return Result.UNREACHABLE, str(error)
        except Deposed as error:
            return Result.AMBIGUOUS, str(error)
        except Ambiguous as error:
            return Result.AMBIGUOUS, str(error)
        return Result.DONE, ""

    def _calls(self) -> Mapping[ActionKind, Callable[[Action], None]]:
        cloud = self._cloud
        return {
            ActionKind.POWER_OFF: lambda a: self._fencer.power_off(a.host, self._deposed, a.level),
            ActionKind.POWER_ON: lambda a: self._fencer.power_on(a.host, self._deposed, a.level),
            ActionKind.CUT: lambda a: self._fencer.stores.cut(a.store, a.host, a.for_s, self._deposed),
            ActionKind.KEEP_CUT: lambda a: self._fencer.stores.cut(a.store, a.host, a.for_s, self._deposed),
            ActionKind.RESTORE: lambda a: self._fencer.stores.restore(a.store, a.host, self._deposed),
            ActionKind.FORCE_DOWN: lambda a: cloud.force_down(a.service_id),
            ActionKind.CLEAR_FORCE_DOWN: lambda a: cloud.clear_force_down(a.service_id),
            ActionKind.DISABLE: lambda a: cloud.disable(a.service_id, a.reason),
            ActionKind.ENABLE: lambda a: cloud.enable(a.service_id),
            ActionKind.EVACUATE: lambda a: cloud.evacuate(a.instance_id, a.target, a.call),
            ActionKind.START: lambda a: cloud.start(a.instance_id),
            ActionKind.STOP: lambda a: cloud.stop(a.instance_id),
            ActionKind.UNLOCK: lambda a: cloud.unlock(a.instance_id),
            ActionKind.LIVE_MIGRATE: lambda a: cloud.live_migrate(a.instance_id, a.target),
            ActionKind.COLD_MIGRATE: lambda a: cloud.cold_migrate(a.instance_id, a.target),
            ActionKind.CONFIRM_MIGRATION: lambda a: cloud.confirm_migration(a.instance_id),
            ActionKind.RESTART_AGENT: lambda a: self._programs.restart_agent(a.host, a.target, self._deposed),
        }
