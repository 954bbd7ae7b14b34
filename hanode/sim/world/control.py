"""Which parts of the control plane work, and how does one request to the API end?

Every request goes through `ControlPlane.request`, so that a fault hits all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from hanode.sim.world.world import World

T = TypeVar("T")


class ApiError(Exception):
    """An HTTP answer with an error status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class Hang(Exception):
    """The request was delivered and no answer ever comes; it may have taken effect, or may still."""


class Down(Exception):
    """The connection was refused: nothing was delivered."""


class Part(StrEnum):
    RABBIT = "RabbitMQ"  # frozen: heartbeats stop, casts wait, requests that cast hang
    CONDUCTOR = "nova-conductor"  # heartbeats stop, casts wait
    SCHEDULER = "nova-scheduler"  # evacuations are left rebuilding for ever
    CELL = "cell database"  # heartbeats stop, services have no state, other requests answer 500
    API = "nova-api"  # connections are refused
    PLACEMENT = "placement-api"  # its own requests are refused; evacuations are left rebuilding for ever


class Answer(StrEnum):
    """What the caller of a faulty request sees."""

    DOWN = "connection refused"
    HANG = "no answer"
    ERROR = "HTTP 500"
    REFUSED = "HTTP 403"
    SLOW = "a late answer"


class Effect(StrEnum):
    """What a faulty request does all the same."""

    NONE = "nothing"
    NOW = "takes effect"
    LATER = "takes effect later"


@dataclass(frozen=True)
class ApiFault:
    """The next `times` requests of this call ("*": any) end so. SLOW always takes effect."""

    call: str
    answer: Answer
    effect: Effect = Effect.NONE
    times: int = 1
    delay_s: float = 0.0  # until the late answer, or until the late effect


@dataclass
class ControlPlane:
    world: World
    delay_s: float = 0.0  # how long the answer to the last request takes, for whoever models the caller's timeout
    no_valid_host: set[str] = field(default_factory=set)  # instance ids that the scheduler places nowhere
    refuses_evacuation: dict[str, str] = field(default_factory=dict)  # instance id -> why nova-api says 400 (vTPM, a share)
    _failed: set[Part] = field(default_factory=set)
    _faults: list[ApiFault] = field(default_factory=list)
    _casts: list[tuple[Callable[[], None], str]] = field(default_factory=list)

    def is_up(self, part: Part) -> bool:
        return part not in self._failed

    @property
    def carries_messages(self) -> bool:
        """Do messages of nova-compute reach the database, and does work reach nova-compute?"""
        return not self._failed & {Part.RABBIT, Part.CONDUCTOR, Part.CELL}

    def fail(self, part: Part) -> None:
        self._failed.add(part)
        self.world.record("control", part.name.lower(), f"{part} fails")

    def restore(self, part: Part) -> None:
        self._failed.discard(part)
        self.world.record("control", part.name.lower(), f"{part} works again")
        self._flush()
        self.world.hosts.messages_flow_again()

    def inject(self, fault: ApiFault) -> None:
        self._faults.append(fault)

    def clear_faults(self) -> None:
        self._faults.clear()

    def request(self, call: str, subject: str, effect: Callable[[], T], part: Part = Part.API) -> T:
        """One HTTP request. Raises ApiError, Hang or Down; `delay_s` tells afterwards how long an answer took."""
        self.delay_s = 0.0
        if not self.is_up(part):
            raise Down(f"{part} refuses connections")
        fault = self._take(call)
        if fault is None:
            self.delay_s = self.world.load.answer_s()
            return effect()
        self.world.record("api-fault", subject, f"{call} {fault.effect}, caller sees {fault.answer}")
        if fault.answer is Answer.SLOW:
            self.delay_s = fault.delay_s
            return effect()
        self._suffer(fault, call, subject, effect)
        if fault.answer is Answer.DOWN:
            raise Down(f"{part} refuses connections")
        if fault.answer is Answer.HANG:
            raise Hang(f"{call} {subject}: no answer")
        if fault.answer is Answer.REFUSED:
            raise ApiError(403, f"{call} {subject}: Policy doesn't allow this to be performed")
        raise ApiError(500, f"{call} {subject}: unexpected API error")

    def _take(self, call: str) -> ApiFault | None:
        for index, fault in enumerate(self._faults):
            if fault.call in (call, "*"):
                if fault.times > 1:
                    self._faults[index] = replace(fault, times=fault.times - 1)
                else:
                    del self._faults[index]
                return fault
        return None

    def _suffer(self, fault: ApiFault, call: str, subject: str, effect: Callable[[], object]) -> None:
        def unheard() -> None:
            try:
                effect()
            except (ApiError, Hang, Down) as error:
                self.world.record("api-unheard", subject, f"{call} ends unheard: {error}")

        if fault.effect is Effect.NOW:
            unheard()
        elif fault.effect is Effect.LATER:
            self.world.after(fault.delay_s, unheard, f"late {call} {subject}")

    def cast_conductor(self, call: Callable[[], None], label: str) -> None:
        """A message to nova-conductor: durable in the broker, handled once it flows. Raises Hang while the broker is frozen."""
        self._casts.append((call, label))
        self._flush()
        self.refuse_when_frozen(label)

    def refuse_when_frozen(self, label: str) -> None:
        """nova-api casts for ever while RabbitMQ does not answer, so its caller hangs; the database is written already."""
        if not self.is_up(Part.RABBIT):
            raise Hang(f"{label}: nova-api waits for RabbitMQ")

    def _flush(self) -> None:
        if not self.carries_messages:
            return
        casts, self._casts = self._casts, []
        for call, label in casts:
            conductor_s = self.world.timings.conductor_s * self.world.load.of_control()
            self.world.after(conductor_s, partial(self._handle, call, label), label)

    def _handle(self, call: Callable[[], None], label: str) -> None:
        if self.carries_messages:
            call()
        else:
            self._casts.append((call, label))  # not acknowledged: the broker delivers it again
