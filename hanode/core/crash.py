"""A host's kernel says that it crashes, and writes its memory to a disk: what may follow from a message that anybody can send?

fence_kdump is one UDP packet now and then, without a signature, with a source address that can be forged. So what it says is
used in such a way that a false one does little harm:
- It is no sign of life and no sign of death. No verdict rests on it: a host that beats, or answers anybody on any network, is
  not shot, whatever was said in its name. (The crash kernel itself may answer a ping; then it is AGENT_DOWN until it ends.)
- It keeps the first power-off of an incident back while it goes on, so that the dump is not lost; at most `kdump_wait_s` after
  it was first heard in this silence, however often it is repeated. That bound is all that a forger gains by default. An off that
  protects disks (an evacuation from the host is open) does not wait at all.
- Only where the operator says so (`kdump_fence_after_s`) it shortens the wait for a heartbeat. Everything else must be silent as
  ever, and the off itself still waits for the end of the messages.
"""

from __future__ import annotations

from dataclasses import replace

from hanode.core.decisions import Level
from hanode.core.draft import Draft
from hanode.core.judge import Evidence
from hanode.core.lifecycle import HostState
from hanode.core.records import HostRecovery

ASKED_IN = frozenset({HostState.WATCHED, HostState.SUSPECT, HostState.FENCING})
"""Later it is off, or a person looks after it."""


def with_crash(draft: Draft, e: Evidence, every_s: float) -> Evidence:
    """What its kernel says, here and to the witnesses, and since when in this silence; a heartbeat takes all of it back."""
    name, state = e.host.name, e.record.state if e.record else HostState.WATCHED
    if not draft.policy.kdump or e.beats or state not in ASKED_IN:
        return e
    heard = replace(e, crash=draft.crash(name, every_s))
    begun = f"crash/{name}"
    if heard.crash_heard_by or draft.peek(begun) is not None:
        return replace(heard, crash_since_s=draft.since(begun))
    return heard


def is_dumping(draft: Draft, record: HostRecovery, e: Evidence) -> bool:
    """Does the off wait for its dump? Told to people; the bound is counted from when it was first heard, and by one leader only."""
    if e.crash_since_s is None or not e.crash_heard_by or record.is_open or record.off_may_have_reached:
        return False
    bound_s = draft.policy.kdump_wait_s
    ends_s = e.crash_since_s + bound_s
    draft.note_once(
        Level.WARNING,
        "dump",
        record.host,
        f"its kernel says that it crashes: the power-off waits for its dump, at most {bound_s:.0f} s",
        record.incident,
    )
    if draft.now.s < ends_s:
        draft.wake(ends_s)
        return True
    text = f"goes on saying that it crashes: nobody waits after {bound_s:.0f} s"
    draft.note_once(Level.WARNING, "dump-bound", record.host, text, record.incident)
    return False
