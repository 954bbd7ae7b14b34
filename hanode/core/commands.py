"""What does an operator's word do? Each verb is accepted or refused with a sentence; only the leader asks this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hanode.core import drill, failback, maintenance, repeats, spares
from hanode.core.brake import PROVEN
from hanode.core.contradiction import has_settled
from hanode.core.cutting import left_cut
from hanode.core.decisions import ABANDONED, HoldKind, Level
from hanode.core.draft import Draft
from hanode.core.facts import Power
from hanode.core.fence import confirm
from hanode.core.flapping import forgive
from hanode.core.judge import Evidence
from hanode.core.lifecycle import TO_DO, HostState, InstanceState, step_instance
from hanode.core.model import Command
from hanode.core.pause import pause, resume
from hanode.core.policy import MARKER
from hanode.core.quarantine import adopt
from hanode.core.readiness import mute
from hanode.core.records import HostRecovery, ProofKind
from hanode.core.stores import by_storage

Answered = tuple[bool, str]

def obey_for_all(draft: Draft) -> None:
    """What concerns no single host is obeyed first, and also while nobody can look at Nova."""
    for command in sorted(draft.snapshot.commands, key=lambda c: c.command_id):
        _compare_clocks(draft, command)
        verb, expired = CLOUD_VERBS.get(command.verb), _expired(draft, command)
        if verb is not None:
            draft.answer(command, *((False, expired) if expired else verb(draft, command)))


def obey(draft: Draft, evidence: Mapping[str, Evidence]) -> None:
    for command in sorted(draft.snapshot.commands, key=lambda c: c.command_id):
        if command.verb in CLOUD_VERBS:
            continue
        if draft.fleet is None and not _expired(draft, command):
            continue  # nobody could look yet: it is judged by the first look at Nova, or it expires
        accepted, text = _answer(draft, command, evidence.get(command.host))
        draft.answer(command, accepted, text)


def _expired(draft: Draft, command: Command) -> str:
    age = draft.snapshot.ages.get(command.command_id)
    return age.expired if age else ""


def _compare_clocks(draft: Draft, command: Command) -> None:
    """A command that is certainly fresh and carries another time: what people read of this controller, or of theirs, is wrong."""
    age = draft.snapshot.ages.get(command.command_id)
    if age and age.clocks_apart_s:
        far = f"{abs(age.clocks_apart_s):.0f} s {'behind' if age.clocks_apart_s > 0 else 'ahead of'}"
        text = f"the clock where {command.who} typed `{command.verb}` is {far} the leader's: one of the two is wrong, mend its NTP"
        draft.note_once(Level.ALARM, "clocks", "", text)


def _answer(draft: Draft, command: Command, e: Evidence | None) -> Answered:
    expired = _expired(draft, command)
    if expired:
        return False, expired
    verb = VERBS.get(command.verb)
    if verb is None:
        return False, f"this version knows no command {command.verb!r}"
    record = draft.records.get(command.host)
    gone = e is None and draft.fleet is not None and record is not None and command.incident in {"", record.incident}
    if gone and command.verb == "abandon" and record is not None and not record.is_open:
        left = left_cut(draft, record)
        draft.close(record, f"{ABANDONED}{command.who}, Nova does not list it any more: {command.why}")
        return True, f"abandoned: Nova does not list it any more{left}"
    if e is None:
        return False, f"Nova does not show a compute host {command.host!r} now"
    if command.incident and (record is None or record.incident != command.incident):
        return False, f"incident {command.incident} is not open any more"
    return verb(draft, command, record, e)


def _confirm_fenced(draft: Draft, command: Command, record: HostRecovery | None, e: Evidence) -> Answered:
    if record is None or record.state not in {HostState.NEEDS_OPERATOR, *PROVEN}:
        return False, f"it is {record.state if record else HostState.WATCHED}, not NEEDS_OPERATOR"
    if e.lives:
        return False, "it lives: " + ("its service reports" if e.beats else "it answers the probe")
    if record.state in PROVEN and not _needs_a_word(record, e):
        return False, f"it is {record.state}, and {record.proof.text if record.proof else 'proven dead'}: no further word is needed"
    confirm(draft, record, command.who, command.why)
    return True, "taken as dead on your word; its instances are being evacuated"


def _needs_a_word(record: HostRecovery, e: Evidence) -> bool:
    """Its device proved it dead and cannot be read any more, pulled out with the host perhaps: nothing more would ever be evacuated.

    Or only its store speaks for its death: whoever is not wholly there waits for a word.
    """
    if by_storage(record):
        return True
    by_device = record.proof is not None and record.proof.kind is ProofKind.DEVICE
    return by_device and (e.power is None or e.power.value not in {Power.OFF, Power.ON})


def _release(draft: Draft, command: Command, record: HostRecovery | None, e: Evidence) -> Answered:
    if record is not None and record.state in {HostState.FENCED, HostState.EVACUATING, HostState.RELEASING}:
        draft.save(replace(record, release_asked=True))
        forgive(draft, command.host)
        return True, "it is taken back as soon as it reports, nothing is in flight and its evacuation records are finished"
    if record is not None:
        return False, f"it is {record.state}: there is nothing to release yet"
    service = e.host.service
    if e.work is not None:
        return False, f"it is in maintenance: `hanode host maintenance {command.host} --end`"
    if command.host in draft.roster.drills:
        return False, f"a drill of it is not over: `hanode drill {command.host} --end`"
    if service.disabled_reason.startswith(MARKER):
        draft.save(
            HostRecovery(
                command.host,
                f"{command.host}-taken-back-{command.command_id}",
                HostState.RELEASING,
                f"taken back by {command.who}",
                draft.now.at,
                release_asked=True,
            )
        )
        return True, "it carries our marker without a record: it is taken back when it is sound"
    if command.host in draft.roster.quarantined:
        return False, f"only its power device is not believed: when that is mended, type `hanode fence adopt {command.host}`"
    return False, "nothing of ours is on it"


def _abandon(draft: Draft, command: Command, record: HostRecovery | None, e: Evidence) -> Answered:
    if record is None or record.state not in {HostState.NEEDS_OPERATOR, HostState.FENCING}:
        return False, f"it is {record.state if record else HostState.WATCHED}: only what is not fenced can be abandoned"
    if record.is_open:
        return False, "evacuations from it are in flight"
    if record.state is HostState.FENCING and record.off_may_have_reached and not (e.lives and has_settled(draft, record)):
        return False, "a power-off may be on its way: wait until it is fenced or needs an operator"
    if record.fenced_at:
        draft.save(replace(record, state=HostState.RELEASING, reason=f"abandoned by {command.who}"))
        _hold(draft, command.host, f"{HoldKind.STORM}:ABANDONED")
        return True, "abandoned; what Nova was told is taken back when it reports"
    left = left_cut(draft, record)
    draft.close(record, f"{ABANDONED}{command.who}: {command.why}{left}")
    # Otherwise the next tick would judge the same silence anew and shoot.
    _hold(draft, command.host, f"{HoldKind.STORM}:ABANDONED")
    return True, f"abandoned; it is judged again once it was seen up{left}"


def _hold(draft: Draft, host: str, name: str) -> None:
    draft.roster = replace(draft.roster, held=dict(sorted({**draft.roster.held, host: name}.items())))


def _approve(draft: Draft, command: Command, record: HostRecovery | None, e: Evidence) -> Answered:
    if record is None or record.state is not HostState.FENCING or record.observe_only:
        return False, "nothing of it waits for an approval"
    draft.save(replace(record, approved=True))
    return True, "approved: it is fenced and evacuated if it is still judged failed"


def _name(draft: Draft, command: Command, record: HostRecovery | None, e: Evidence) -> Answered:
    """release-hold and evacuate: a person names this host as one to be judged by its own evidence alone."""
    if e.lives:
        return False, "it lives: " + ("its service reports" if e.beats else "it answers the probe")
    held = {host: why for host, why in draft.roster.held.items() if host != command.host}
    draft.roster = replace(draft.roster, held=held, seen=draft.roster.seen | {command.host})
    if record is not None and record.service_id:
        draft.save(replace(record, service_id=e.host.service.service_id))  # a person says that it is still the same host
    draft.restart_wait(f"named/{command.host}")
    return (
        True,
        f"it is judged by its own evidence for {draft.policy.named_s:.0f} s: no sign of life or two readings of off, then it is fenced",
    )


def _retry(draft: Draft, command: Command, record: HostRecovery | None, e: Evidence) -> Answered:
    if record is None or record.state is not HostState.EVACUATING:
        return False, "no evacuation of it is running"
    again = {
        key: replace(
            i,
            state=step_instance(i.state, InstanceState.PENDING),
            reason=f"tried again for {command.who}",
            tries_before=i.attempt,
            avoid=(),
            ended_at="",
        )
        for key, i in record.instances.items()
        if i.state is InstanceState.FAILED and command.instance_id in {"", key}
    }
    named = record.instances.get(command.instance_id)
    if named is not None and named.state in TO_DO and repeats.why_kept_back(named, command.host, draft.policy):
        text = f"{command.who} lets it go although it may be what kills hosts: {command.why}"
        draft.save(replace(record, instances={**record.instances, named.instance_id: replace(named, reason=text, vouched=True)}))
        return True, f"{named.name} goes, after all others and alone; should its next host fail as well, it waits for your word again"
    if not again:
        return False, "no failed instance of it can be tried again (a STUCK one may still run on its target)"
    draft.save(replace(record, instances={**record.instances, **again}))
    return True, f"{len(again)} instances are tried again"


VERBS: Mapping[str, Callable[[Draft, Command, HostRecovery | None, Evidence], Answered]] = {
    "confirm-fenced": _confirm_fenced,
    "release": _release,
    "abandon": _abandon,
    "approve": _approve,
    "release-hold": _name,
    "evacuate": _name,
    "retry": _retry,
    "maintenance": maintenance.begin,
    "end-maintenance": maintenance.end,
    "drill": drill.begin,
    "end-drill": drill.end,
    "failback": failback.begin,
    "end-failback": failback.end,
    "return-spare": spares.give_back,
    "keep-spare": spares.keep,
    "fence-adopt": adopt,
    "fence-mute": mute,
}

CLOUD_VERBS: Mapping[str, Callable[[Draft, Command], Answered]] = {"pause": pause, "resume": resume}
