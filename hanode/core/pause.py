"""For how long does an operator want nobody to be fenced? Given, taken back, and running out on our own clock.

What is left is written down each minute: a change of leader prolongs a pause by at most that and by the time without a leader,
and never cuts it short.
"""

from __future__ import annotations

from dataclasses import replace

from hanode.core.decisions import Level
from hanode.core.draft import Draft
from hanode.core.model import Command

WRITTEN_EVERY_S = 60.0
LONGEST_S = 7 * 86400.0
"""A pause that everybody has forgotten protects nobody."""

BEGAN = "pause"


def pause(draft: Draft, command: Command) -> tuple[bool, str]:
    if not 0 < command.for_s <= LONGEST_S:
        return False, f"a pause must end by itself: say for how long, at most {LONGEST_S / 86400:.0f} days"
    at = draft.now.at.partition(".")[0]
    words = f"paused by {command.who} at {at} for {command.for_s / 60:.0f} min: {command.why}"
    draft.roster = replace(draft.roster, paused=words, paused_s=command.for_s)
    draft.restart_wait(BEGAN)
    return True, "nobody is fenced and nothing more is evacuated until `hanode resume`, or until that time has passed"


def resume(draft: Draft, _: Command) -> tuple[bool, str]:
    if not draft.roster.paused:
        return False, "nothing is paused"
    _end(draft)
    return True, f"hosts that fail from now on are fenced again{_still_held(draft)}"


def run_on(draft: Draft) -> None:
    """Let it run, once a tick."""
    if not draft.roster.paused:
        return
    passed_s = draft.now.s - draft.since(BEGAN)
    left_s = draft.roster.paused_s - passed_s
    if left_s <= 0:
        text = f"the pause has run out ({draft.roster.paused}): hosts that fail from now on are fenced again{_still_held(draft)}"
        draft.note(Level.ALARM, "pause", "", text)
        _end(draft)
        return
    if passed_s >= WRITTEN_EVERY_S:
        draft.roster = replace(draft.roster, paused_s=left_s)
        draft.restart_wait(BEGAN)
    draft.wake(draft.now.s + left_s)


def _end(draft: Draft) -> None:
    draft.roster = replace(draft.roster, paused="", paused_s=0.0)
    draft.end_wait(BEGAN)


def _still_held(draft: Draft) -> str:
    held = ", ".join(sorted(draft.roster.held))
    return f"; {held} stay held: look at them, then `hanode brake release HOST...`" if held else ""
