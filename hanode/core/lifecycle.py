"""Which states can a host and an instance be in during a recovery, and which steps are legal?

Everything that affects the two state machines lives in this file, as tables. An illegal step raises
`IllegalStep` and changes nothing. `*` in the design marks what is persisted: all but WATCHED.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from enum import StrEnum
from typing import TypeVar

_State = TypeVar("_State", bound=StrEnum)


class IllegalStep(Exception):
    """A step that the tables do not allow was asked for: a bug in the caller, never the world's fault."""


class HostState(StrEnum):
    WATCHED = "WATCHED"
    SUSPECT = "SUSPECT"
    FENCING = "FENCING"
    NEEDS_OPERATOR = "NEEDS_OPERATOR"
    FENCED = "FENCED"
    EVACUATING = "EVACUATING"
    RELEASING = "RELEASING"


class InstanceState(StrEnum):
    PENDING = "PENDING"
    WAITING = "WAITING"
    REQUESTED = "REQUESTED"
    UNDERWAY = "UNDERWAY"
    MOVED = "MOVED"
    VERIFIED = "VERIFIED"
    RETURNED = "RETURNED"
    STUCK = "STUCK"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    GONE = "GONE"


class WorkState(StrEnum):
    """Of a host on which people work (`hanode host maintenance`)."""

    DRAINING = "DRAINING"
    EMPTY = "EMPTY"
    UNDRAINED = "UNDRAINED"
    AWAY = "AWAY"
    ENDING = "ENDING"


class DrillState(StrEnum):
    """Of a host whose failure is rehearsed (`hanode drill`)."""

    READYING = "READYING"
    CUTTING = "CUTTING"
    RECOVERING = "RECOVERING"
    ENDING = "ENDING"
    OVER = "OVER"


class SpareState(StrEnum):
    """Of a host that is kept in reserve, from when it is needed until it is in reserve again."""

    ENABLING = "ENABLING"
    SERVING = "SERVING"
    RETURNING = "RETURNING"


class FailbackState(StrEnum):
    """Of a host that is back in service, and of what was moved away from it."""

    OFFERED = "OFFERED"
    MOVING = "MOVING"
    ENDING = "ENDING"


HOST_SENTENCES: Mapping[HostState, str] = {
    HostState.WATCHED: "nothing is wrong; no record is kept",
    HostState.SUSPECT: "the host fell silent; its servers and their states are written down before anything is done",
    HostState.FENCING: "the host is taken for failed and is being powered off; nothing is evacuated yet",
    HostState.NEEDS_OPERATOR: "the host cannot be proven off by any device; a person must say that it is dead",
    HostState.FENCED: "the host is proven off; Nova is being told so",
    HostState.EVACUATING: "its instances are being restarted on other hosts",
    HostState.RELEASING: "the host is back; stale evacuation records, guests and marks are being cleared",
}

INSTANCE_SENTENCES: Mapping[InstanceState, str] = {
    InstanceState.PENDING: "to be restarted elsewhere, not asked for yet",
    InstanceState.WAITING: "no host can take it now; tried again at every change, for ever",
    InstanceState.REQUESTED: "the evacuation is about to be posted or was posted; Nova has not shown it yet",
    InstanceState.UNDERWAY: "Nova has a record of the evacuation and works on it",
    InstanceState.MOVED: "Nova says it is on its new host; power state and lock are being put back",
    InstanceState.VERIFIED: "runs on its new host, as it did before the failure",
    InstanceState.RETURNED: "is at home again, on the host that failed",
    InstanceState.STUCK: "Nova neither finishes nor fails, and repeating is unsafe; an operator must look",
    InstanceState.FAILED: "Nova refused it for good; an operator must look",
    InstanceState.SKIPPED: "is deliberately not evacuated",
    InstanceState.GONE: "was deleted by its owner",
}

WORK_SENTENCES: Mapping[WorkState, str] = {
    WorkState.DRAINING: "Nova moves its instances to other hosts; until it is empty it is protected like any other",
    WorkState.EMPTY: "nothing is on it: it may be switched off",
    WorkState.UNDRAINED: "its instances stay on it; while it is worked on it is not fenced, and nothing of it is restarted elsewhere",
    WorkState.AWAY: "it is being worked on and does not report; it is taken back when it reports again",
    WorkState.ENDING: "the work is done; what is under way is finished, and the host is enabled again",
}

DRILL_SENTENCES: Mapping[DrillState, str] = {
    DrillState.READYING: "nothing new is placed on it, and it is looked at once more; nothing was switched off yet",
    DrillState.CUTTING: "its power device was told off; as after any failure it must be silent and read off twice",
    DrillState.RECOVERING: "it is proven off; its canaries are restarted elsewhere, and it is switched on again and taken back",
    DrillState.ENDING: "no more is tried; it is switched on if it was off, and enabled as soon as it reports",
    DrillState.OVER: "everything is as before; whoever asked for the drill takes its canaries away",
}

SPARE_SENTENCES: Mapping[SpareState, str] = {
    SpareState.ENABLING: "nothing that is enabled fits, so Nova is told to use it",
    SpareState.SERVING: "takes instances like any other host; it is given back when it is empty and whom it stands in for is back",
    SpareState.RETURNING: "is not needed any more: it is disabled again for its former reason, and looked at once more",
}

FAILBACK_SENTENCES: Mapping[FailbackState, str] = {
    FailbackState.OFFERED: "what was moved away from it when it failed can be moved back",
    FailbackState.MOVING: "what was moved away from it is moved back, one after the other",
    FailbackState.ENDING: "nothing more is moved back; what is under way is followed to its end",
}

_H = HostState
_I = InstanceState
_W = WorkState
_D = DrillState

# Each row: from -> {to: why that is legal}. A state may always be written again with other details.
HOST_STEPS: Mapping[HostState, Mapping[HostState, str]] = {
    _H.WATCHED: {
        _H.SUSPECT: "fell silent",
        _H.RELEASING: "an operator takes back a host that carries our marker without a record",
    },
    _H.SUSPECT: {
        _H.WATCHED: "spoke again before anything was done to it",
        _H.FENCING: "judged failed while no brake held",
    },
    _H.FENCING: {
        _H.FENCED: "read exactly off twice by its own device",
        _H.NEEDS_OPERATOR: "its devices refuse, lie or are silent",
        _H.WATCHED: "became exempt before any off; or it was only observed",
        _H.SUSPECT: "lives, and no off can have reached a device, or it settled and is on: its guests are looked after",
        _H.RELEASING: "lives, nothing is open, and Nova was already told that it is down",
    },
    _H.NEEDS_OPERATOR: {
        _H.FENCED: "a person confirmed that it is dead, or its device read off twice after all",
        _H.WATCHED: "an operator abandoned the incident",
        _H.SUSPECT: "lives, and no off can have reached a device, or it settled and is on: its guests are looked after",
        _H.FENCING: "its device answers again",
        _H.RELEASING: "lives, nothing is open, and Nova was already told that it is down",
    },
    _H.FENCED: {
        _H.EVACUATING: "Nova shows it forced down and its servers were read again",
        _H.FENCING: "shows life although it was proven off: fence again",
        _H.NEEDS_OPERATOR: "shows life although a person said it was dead",
        _H.RELEASING: "nothing is left to evacuate and the host is back, or its policy is to restart in place",
    },
    _H.EVACUATING: {
        _H.FENCING: "shows life while evacuations from it are open: fence again",
        _H.NEEDS_OPERATOR: "shows life although a person said it was dead",
        _H.RELEASING: "nothing is in flight, and the host is back or is switched on again by policy",
    },
    _H.RELEASING: {
        _H.WATCHED: "cleared, enabled, guests at home run",
        _H.FENCING: "failed again before it was released",
    },
}

INSTANCE_STEPS: Mapping[InstanceState, Mapping[InstanceState, str]] = {
    _I.PENDING: {
        _I.REQUESTED: "a target was chosen and the intent written",
        _I.WAITING: "no target can take it now",
        _I.UNDERWAY: "an evacuation that is not ours is running: followed",
        _I.MOVED: "somebody moved it",
        _I.SKIPPED: "policy or its Nova state forbids an evacuation",
        _I.RETURNED: "runs at home again",
        _I.GONE: "deleted",
        _I.STUCK: "its migration never ends",
    },
    _I.WAITING: {
        _I.REQUESTED: "a target was chosen and the intent written",
        _I.UNDERWAY: "an evacuation that is not ours is running: followed",
        _I.MOVED: "somebody moved it",
        _I.SKIPPED: "its Nova state forbids an evacuation now",
        _I.RETURNED: "runs at home again",
        _I.GONE: "deleted",
        _I.STUCK: "its migration never ends",
    },
    _I.REQUESTED: {
        _I.UNDERWAY: "Nova shows a record outside the baseline",
        _I.MOVED: "already on its new host",
        _I.PENDING: "certainly not posted, or settled without any record: same target again",
        _I.FAILED: "Nova refused it, and every attempt is spent",
        _I.STUCK: "past the hard deadline",
        _I.GONE: "deleted",
    },
    _I.UNDERWAY: {
        _I.MOVED: "host changed, task finished, record done",
        _I.PENDING: "the record failed and the task ended: try again",
        _I.FAILED: "the record failed, and every attempt is spent",
        _I.STUCK: "past the hard deadline",
        _I.GONE: "deleted",
    },
    _I.MOVED: {
        _I.VERIFIED: "power state and lock are as before the failure",
        _I.STUCK: "its power state cannot be restored",
        _I.GONE: "deleted",
    },
    _I.STUCK: {
        _I.MOVED: "Nova finished after all",
        _I.PENDING: "the record failed after all, or its target is proven off",
        _I.RETURNED: "runs at home again",
        _I.GONE: "deleted",
    },
    _I.FAILED: {
        _I.PENDING: "an operator asks for another try",
        _I.MOVED: "somebody moved it",
        _I.UNDERWAY: "an evacuation that is not ours is running: followed",
        _I.RETURNED: "runs at home again",
        _I.GONE: "deleted",
    },
    _I.SKIPPED: {
        _I.PENDING: "its Nova state allows an evacuation now",
        _I.RETURNED: "runs at home again",
        _I.MOVED: "somebody moved it",
        _I.GONE: "deleted",
    },
    _I.VERIFIED: {
        _I.STUCK: "an attempt that came too late has marked it ERROR",
    },
    _I.RETURNED: {},
    _I.GONE: {},
}

WORK_STEPS: Mapping[WorkState, Mapping[WorkState, str]] = {
    _W.DRAINING: {
        _W.EMPTY: "a complete read shows nothing on it, and nothing on its way to it or from it",
        _W.ENDING: "an operator ends it",
    },
    _W.EMPTY: {
        _W.DRAINING: "something is on it again",
        _W.AWAY: "it does not report any more",
        _W.ENDING: "an operator ends it",
    },
    _W.UNDRAINED: {
        _W.AWAY: "it does not report any more",
        _W.ENDING: "an operator ends it",
    },
    _W.AWAY: {
        _W.DRAINING: "something is on it again",
        _W.ENDING: "it reports again, or an operator ends it",
    },
    _W.ENDING: {},
}

DRILL_STEPS: Mapping[DrillState, Mapping[DrillState, str]] = {
    _D.READYING: {
        _D.CUTTING: "a fresh and complete look shows its canaries alone, and no brake holds",
        _D.ENDING: "something else is on it, something speaks against it, or an operator ends it",
    },
    _D.CUTTING: {
        _D.RECOVERING: "it was judged failed and proven off, like any other host",
        _D.ENDING: "its power device did not switch it off, or an operator ends it",
    },
    _D.RECOVERING: {
        _D.ENDING: "an operator ends it",
        _D.OVER: "it is back in service",
    },
    _D.ENDING: {
        _D.OVER: "it is as it was before",
    },
    _D.OVER: {},
}

_S = SpareState

SPARE_STEPS: Mapping[SpareState, Mapping[SpareState, str]] = {
    _S.ENABLING: {
        _S.SERVING: "Nova calls it enabled",
        _S.RETURNING: "nobody needs it any more",
    },
    _S.SERVING: {
        _S.RETURNING: "it is empty, and nobody needs it any more",
    },
    _S.RETURNING: {
        _S.ENABLING: "something was put on it while it was being disabled: it must not stand there unprotected",
    },
}

_B = FailbackState

FAILBACK_STEPS: Mapping[FailbackState, Mapping[FailbackState, str]] = {
    _B.OFFERED: {
        _B.MOVING: "an operator wants it, or by policy once the host has been well for long enough",
    },
    _B.MOVING: {
        _B.ENDING: "an operator ends it",
    },
    _B.ENDING: {},
}

IN_FLIGHT = frozenset({_I.REQUESTED, _I.UNDERWAY})
"""An evacuation may be open in Nova: the source must stay off, the target must not be fenced from under it."""

TO_DO = frozenset({_I.PENDING, _I.WAITING})
"""Still to be evacuated; nothing was asked of Nova that could be open."""

ENDED = frozenset({_I.VERIFIED, _I.RETURNED, _I.STUCK, _I.FAILED, _I.SKIPPED, _I.GONE})
"""Nothing more is done by ourselves; STUCK and FAILED raise an alarm."""

SAFE = frozenset({_I.VERIFIED, _I.RETURNED})
LOST = frozenset({_I.STUCK, _I.FAILED})


def _step(steps: Mapping[_State, Container[_State]], what: str, state: _State, to: _State) -> _State:
    if to is not state and to not in steps[state]:
        raise IllegalStep(f"{what} cannot go from {state} to {to}")
    return to


def step_host(state: HostState, to: HostState) -> HostState:
    """Return `to` if the table allows it; raises IllegalStep otherwise, changing nothing."""
    return _step(HOST_STEPS, "a host", state, to)


def step_instance(state: InstanceState, to: InstanceState) -> InstanceState:
    """Return `to` if the table allows it; raises IllegalStep otherwise, changing nothing."""
    return _step(INSTANCE_STEPS, "an instance", state, to)


def step_work(state: WorkState, to: WorkState) -> WorkState:
    """Return `to` if the table allows it; raises IllegalStep otherwise, changing nothing."""
    return _step(WORK_STEPS, "maintenance", state, to)


def step_drill(state: DrillState, to: DrillState) -> DrillState:
    """Return `to` if the table allows it; raises IllegalStep otherwise, changing nothing."""
    return _step(DRILL_STEPS, "a drill", state, to)


def step_spare(state: SpareState, to: SpareState) -> SpareState:
    """Return `to` if the table allows it; raises IllegalStep otherwise, changing nothing."""
    return _step(SPARE_STEPS, "a spare host", state, to)


def step_failback(state: FailbackState, to: FailbackState) -> FailbackState:
    """Return `to` if the table allows it; raises IllegalStep otherwise, changing nothing."""
    return _step(FAILBACK_STEPS, "a failback", state, to)
