"""Which hosts fail again and again, so that they are not taken back by themselves? Counted over changes of leader.

What is left of the window is written down now and then, on the leader's own clock; a change of leader prolongs it by at most
that and by the time without a leader, and never cuts it short.
"""

from __future__ import annotations

from dataclasses import replace

from hanode.core.draft import Draft
from hanode.core.records import Flap

WRITTEN_EVERY_S = 600.0


def count(draft: Draft, host: str) -> None:
    """It was fenced once more. What was switched off for a drill has not failed."""
    if host in draft.roster.drills:
        return
    former = draft.roster.flaps.get(host, Flap(0, 0.0))
    _keep(draft, host, Flap(former.fenced + 1, draft.policy.flap_window_s))
    draft.restart_wait(_wait(host))


def run_on(draft: Draft) -> None:
    """Let the windows run, once a tick."""
    for host, flap in draft.roster.flaps.items():
        passed_s = draft.now.s - draft.since(_wait(host))
        if passed_s >= flap.left_s:
            forgive(draft, host)
        elif passed_s >= WRITTEN_EVERY_S:
            _keep(draft, host, replace(flap, left_s=flap.left_s - passed_s))
            draft.restart_wait(_wait(host))


def forgive(draft: Draft, host: str) -> None:
    """It has been well for long enough, or an operator vouches for it."""
    left = {name: flap for name, flap in draft.roster.flaps.items() if name != host}
    draft.roster = replace(draft.roster, flaps=left)
    draft.end_wait(_wait(host))


def why_not_by_itself(draft: Draft, host: str) -> str | None:
    """Why nobody but an operator may bring this host back; None when it does not flap."""
    flap = draft.roster.flaps.get(host)
    if flap is None or flap.fenced < draft.policy.flap_incidents:
        return None
    hours = draft.policy.flap_window_s / 3600
    often = f"it was fenced {flap.fenced} times, each within {hours:g} h of the time before"
    return f"{often}: find out why, then type `hanode host release {host}`"


def _keep(draft: Draft, host: str, flap: Flap) -> None:
    draft.roster = replace(draft.roster, flaps=dict(sorted({**draft.roster.flaps, host: flap}.items())))


def _wait(host: str) -> str:
    return f"flap/{host}"
