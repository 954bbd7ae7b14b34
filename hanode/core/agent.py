"""A host answers and only its nova-compute is silent: may that be started again? By the operator's command, once per incident.

A dead nova-compute hurts no guest, so nothing is ever shot for it (the verdict AGENT_DOWN).
"""

from __future__ import annotations

from dataclasses import replace

from hanode.core.decisions import HoldKind, Level
from hanode.core.draft import Draft
from hanode.core.judge import Evidence
from hanode.core.lifecycle import HostState
from hanode.core.model import Action, ActionKind


def start_again(draft: Draft, e: Evidence) -> None:
    """At most once: that it was asked for is journaled before it is sent, and no later leader sends it again."""
    record = draft.records.get(e.host.name)
    if not draft.policy.restart_agent or record is None or record.state is not HostState.SUSPECT or record.agent_restarted:
        return
    # Whatever holds may be what silences this agent, among others; starting them all again would only add to the trouble.
    held = any(hold.kind is not HoldKind.DELAY and hold.covers(e.host.name) for hold in draft.holds)
    if e.silent_s < draft.policy.fence_after_s or held or not draft.may_write(e.host.name):
        return
    draft.save(replace(record, agent_restarted=True))
    text = f"its nova-compute has been silent for {e.silent_s:.0f} s while the host answers: it is started again, once"
    draft.note(Level.WARNING, "agent-restart", record.host, text, record.incident)
    address = e.host.hypervisor.host_ip if e.host.hypervisor else ""
    draft.act(Action(record.host, ActionKind.RESTART_AGENT, record.incident, target=address), 0.0)
