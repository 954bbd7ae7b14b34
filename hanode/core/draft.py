"""What has this tick decided so far? The one mutable value of the core: it lives within a single `decide`.

Everything that a rule may ask about the world, the records and the past is asked here, so that the rules themselves
read as rules. A reading is used only when it is known and young enough: `read` never returns an Unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from hanode.core.decisions import Beat, Closed, Decisions, Hold, Judgement, Level, Note, Readiness, Sign, Timers, Trace, Verdict
from hanode.core.facts import Fleet, Host, Instance, Migration, Reading, Resources, ServerGroup, Unknown
from hanode.core.judge import recent_s
from hanode.core.levels import believed, host_and_level, power_key, proven_by, together, watched
from hanode.core.lifecycle import HostState, step_host
from hanode.core.model import Action, Answer, Command, Moment, Outcome, Result, Snapshot, Want, WantKind
from hanode.core.once import once
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery, Records
from hanode.core.signals import KDUMP, network_and_host, probe_key
from hanode.core.stores import store_key

ROOM_S = 10.0
"""Placement is asked for everybody's room so often while something is to be placed; what we ask for is charged at once."""

EVACUATIONS_S = 15.0
"""So often for the unfinished evacuations of the whole cloud: they change only when hosts come back."""

EVER_S = float("-inf")


class Draft:
    def __init__(self, snapshot: Snapshot, records: Records, timers: Timers, policy: Policy, now: Moment) -> None:
        self.snapshot, self.policy, self.now = snapshot, policy, now
        self.timers = timers  # as remembered after this tick's facts
        self.before = records
        self.records: dict[str, HostRecovery] = dict(sorted(records.hosts.items()))
        self.roster = records.roster
        self.verdicts: dict[str, Judgement] = {}
        self.holds: tuple[Hold, ...] = ()
        self.readiness = Readiness()
        self.waits_for: dict[str, str] = {}
        self.overdue_cuts: frozenset[str] = frozenset()
        self.powered = frozenset(host_and_level(key)[0] for key in timers.power)  # hosts whose power was ever read
        self._beats = timers.beats
        self._witnessed: dict[str, dict[tuple[str, str], Trace]] = {}
        self._crashes: dict[str, dict[str, Trace]] = {}
        for (witness, key), trace in timers.witnessed.items():
            network, host = network_and_host(key)
            if network == KDUMP:
                self._crashes.setdefault(host, {})[witness] = trace
            else:
                self._witnessed.setdefault(host, {})[witness, network] = trace
        self._waits: dict[str, float] = {}
        self._said: dict[str, str] = {}
        self._wants: dict[tuple[WantKind, str], float] = {}
        self._actions: dict[str, Action] = {}
        self._closes: list[Closed] = []
        self._forgets: list[str] = []
        self._answers: list[Answer] = []
        self._notes: list[Note] = []
        self._wake_s = now.s + policy.poll_s

    # ------------------------------------------------------------------ the world

    @once
    def fleet(self) -> Fleet | None:
        """The inventory, when its newest reading is known and not older than three polls."""
        reading = self.snapshot.readings.get((WantKind.FLEET, ""))
        fresh_s = 3 * self.policy.poll_s + self.policy.report_interval_s
        if reading is None or isinstance(reading.value, Unknown) or self.now.s - reading.started_s > fresh_s:
            return None
        return cast(Fleet, reading.value)

    def host(self, name: str) -> Host | None:
        return self.fleet.hosts.get(name) if self.fleet else None

    def want(self, kind: WantKind, key: str, every_s: float) -> None:
        self._wants[kind, key] = min(every_s, self._wants.get((kind, key), every_s))

    def reading(self, kind: WantKind, key: str, every_s: float, since_s: float = EVER_S) -> Reading[object] | None:
        """Ask for it, and return its newest reading if that is known and was begun at or after `since_s`."""
        self.want(kind, key, every_s)
        found = self.snapshot.readings.get((kind, key))
        if found is not None and found.started_s < since_s:
            self.want(kind, key, 0.0)  # somebody waits for a younger one: at once
        if found is None or isinstance(found.value, Unknown) or found.started_s < since_s:
            return None
        return found

    def _value(self, kind: WantKind, key: str, every_s: float, since_s: float = EVER_S) -> object | None:
        found = self.reading(kind, key, every_s, since_s)
        return found.value if found else None

    def servers(self, host: str, every_s: float, since_s: float = EVER_S) -> Mapping[str, Instance] | None:
        """Every server that Nova places on the host, by id; None when not known."""
        found = cast("tuple[Instance, ...] | None", self._value(WantKind.SERVERS, host, every_s, since_s))
        return None if found is None else {s.instance_id: s for s in found}

    def instance(self, instance_id: str, every_s: float) -> Instance | None:
        """One server, wherever it is; None when not known, or when there is none."""
        return cast("Instance | None", self._value(WantKind.INSTANCE, instance_id, every_s))

    def migrations(self, host: str, every_s: float, since_s: float = EVER_S) -> tuple[Migration, ...] | None:
        """Every record that names the host; None when not known."""
        return cast("tuple[Migration, ...] | None", self._value(WantKind.MIGRATIONS, host, every_s, since_s))

    def evacuations(self, every_s: float) -> tuple[Migration, ...] | None:
        """Every evacuation of the cloud that is accepted, pre-migrating or done; None when not known."""
        return cast("tuple[Migration, ...] | None", self._value(WantKind.EVACUATIONS, "", every_s))

    def consumption(self, host: Host, every_s: float) -> Mapping[str, Resources] | None:
        provider = host.hypervisor.provider_id if host.hypervisor else ""
        return cast("Mapping[str, Resources] | None", self._value(WantKind.CONSUMPTION, provider, every_s))

    def room(self, every_s: float) -> Reading[object] | None:
        if self.fleet is None:
            return None  # asked of no hosts it fails, and a new leader would wait for its next turn with every evacuation
        return self.reading(WantKind.ROOM, "", every_s)

    def skip_images(self, every_s: float) -> frozenset[str] | None:
        """Images of instances that rebuild themselves, as known last; None while the first answer is on its way.

        Glance goes with a controller, and a dead host is made certain to be off without it: only an instance that may be one of
        those waits (`images_unread`).
        """
        found = cast("frozenset[str] | None", self._value(WantKind.SKIP_IMAGES, "", every_s))
        reading = self.snapshot.readings.get((WantKind.SKIP_IMAGES, ""))
        if found is not None:
            self.timers = replace(self.timers, skip_images=found)
        elif reading is not None and isinstance(reading.value, Unknown):
            self.want(WantKind.SKIP_IMAGES, "", self.policy.retry_s)
            found = self._images_without_glance(reading.value.reason)
        return found

    def _images_without_glance(self, reason: str) -> frozenset[str]:
        known = self.timers.skip_images
        follows = ("they are taken to be as they were when that was known last" if known is not None else
                   "nobody knows who is an amphora, so what boots from an image waits for Glance; hosts are fenced, volumes go on")
        level = Level.WARNING if known is not None else Level.ALARM
        self.note_once(level, "images", "", f"the tags of images cannot be read ({reason}): {follows}")
        return known or frozenset()

    @property
    def images_unread(self) -> bool:
        """It was never known which images those are, and it cannot be read now."""
        reading = self.snapshot.readings.get((WantKind.SKIP_IMAGES, ""))
        return self.timers.skip_images is None and reading is not None and isinstance(reading.value, Unknown)

    def groups(self, every_s: float) -> tuple[ServerGroup, ...] | None:
        """Every server group of the cloud; None when not known."""
        return cast("tuple[ServerGroup, ...] | None", self._value(WantKind.GROUPS, "", every_s))

    def holders(self, trait: str, every_s: float) -> frozenset[str] | None:
        """Provider ids of the hosts that have a trait; None when not known."""
        return cast("frozenset[str] | None", self._value(WantKind.TRAIT, trait, every_s))

    def dead_agents(self, every_s: float) -> frozenset[str] | None:
        """Hosts on which no port could be wired, as Neutron knows; None when not known."""
        return cast("frozenset[str] | None", self._value(WantKind.DEAD_AGENTS, "", every_s))

    def stopped_by_owner(self, instance_id: str, since_at: str, every_s: float, since_s: float = EVER_S) -> bool | None:
        return cast("bool | None", self._value(WantKind.STOPPED_BY_OWNER, f"{instance_id}@{since_at}", every_s, since_s))

    # ------------------------------------------------------------------ signs of life and death

    def beat(self, host: str) -> Beat | None:
        return self._beats.get(host)

    def power(self, host: str, every_s: float) -> Trace | None:
        """What the host's power devices say together, reading after reading; asking for it keeps them being read."""
        if host in self.roster.quarantined:
            return None
        plan, record = self.policy.plan_of(host), self.records.get(host)
        levels = watched(plan, record, every_s)
        for level, pause_s in levels.items():
            self.want(WantKind.POWER, power_key(host, level), pause_s)
        read = {level: trace for level, trace in self.power_traces(host).items() if level in levels}
        traces = {level: believed(plan, record, level, trace) for level, trace in read.items()}
        return together(plan, traces, proven_by(plan, record), self.now.s - recent_s(self.policy))

    def power_traces(self, host: str) -> Mapping[int, Trace]:
        """level -> what its devices last said, as far as they were read."""
        if host not in self.powered:
            return {}
        keys = {level: power_key(host, level) for level in range(1, len(self.policy.plan_of(host).levels) + 1)}
        return {level: self.timers.power[key] for level, key in keys.items() if key in self.timers.power}

    def access(self, domain: str, host: str, every_s: float) -> Trace | None:
        """May the host write in this store, reading after reading; asking for it keeps that being read."""
        self.want(WantKind.ACCESS, store_key(domain, host), every_s)
        return self.timers.access.get(store_key(domain, host))

    def probes(self, host: str, every_s: float) -> Mapping[str, Trace]:
        """network -> what the host itself last said there; a network is missing until it was asked."""
        keys = {network: probe_key(network, host) for network in self.policy.networks}
        for key in keys.values():
            self.want(WantKind.PROBE, key, every_s)
        return {network: self.timers.probe[key] for network, key in keys.items() if key in self.timers.probe}

    def witnessed(self, host: str, every_s: float) -> Mapping[tuple[str, str], Trace]:
        """(witness, network) -> what it last saw of the host; asking for it has the standbys look."""
        if self.policy.networks:
            self.want(WantKind.WITNESS, host, every_s)
        return self._witnessed.get(host, {})

    def crash(self, host: str, every_s: float) -> Mapping[str, Trace]:
        """Who listens -> whether the host's kernel has told it lately that it crashes; "" is this leader."""
        key = probe_key(KDUMP, host)
        self.want(WantKind.PROBE, key, every_s)
        ours = {"": self.timers.probe[key]} if key in self.timers.probe else {}
        return {**ours, **self._crashes.get(host, {})}

    def beats_since(self, host: str, since_s: float) -> int:
        """Heartbeats seen after `since_s` that no write of ours explains."""
        beat = self.beat(host)
        return sum(1 for seen_s in beat.recent if seen_s > since_s) if beat else 0

    # ------------------------------------------------------------------ waiting on our own clock

    def since(self, name: str) -> float:
        """When this wait began under this leader; it begins now if it had not. It ends by not being asked for."""
        return self._waits.setdefault(name, self.timers.waits.get(name, self.now.s))

    def waited(self, name: str, needed_s: float) -> bool:
        due_s = self.since(name) + needed_s
        if due_s > self.now.s:
            self.wake(due_s)
        return due_s <= self.now.s

    def keep_waits(self, subject: str) -> None:
        """The facts about an incident or an instance are missing in this tick: its waits go on."""
        for name, begun_s in self.timers.waits.items():
            if subject in name.split("/"):
                self._waits.setdefault(name, begun_s)

    def restart_wait(self, name: str) -> None:
        self._waits[name] = self.now.s

    def end_wait(self, name: str) -> None:
        self._waits.pop(name, None)

    def peek(self, name: str) -> float | None:
        """When a wait began, without beginning or keeping it."""
        return self._waits.get(name, self.timers.waits.get(name))

    def wake(self, at_s: float) -> None:
        self._wake_s = min(self._wake_s, at_s)

    # ------------------------------------------------------------------ deciding

    def save(self, record: HostRecovery) -> HostRecovery:
        """Keep a record; the step from its former state must be one of the table."""
        former = self.records.get(record.host)
        state = step_host(former.state if former else HostState.WATCHED, record.state)
        if former is None or former.state is not state:
            # Nothing waits within a state: the next rule is asked again at once.
            self.wake(self.now.s)
        self.records[record.host] = record
        return record

    def close(self, record: HostRecovery, outcome: str) -> None:
        """The incident ends: history keeps it."""
        step_host(record.state, HostState.WATCHED)
        del self.records[record.host]
        if record.host in self.before.hosts:
            self._closes.append(Closed(replace(record, ended_at=self.now.at), outcome))

    def forget(self, record: HostRecovery) -> None:
        """A suspicion that came to nothing leaves no trace."""
        step_host(record.state, HostState.WATCHED)
        del self.records[record.host]
        if record.host in self.before.hosts:
            self._forgets.append(record.host)

    def may_write(self, host: str) -> bool:
        """Mode observe writes nothing to the world. A host that Nova does not show has the cloud's own mode."""
        found = self.host(host)
        mode = self.policy.mode_of(found) if found else self.policy.mode
        return mode != "observe"

    def act(self, action: Action, every_s: float, promised: bool = False) -> bool:
        """Ask for a write now, unless it is under way or was asked for less than `every_s` ago. True if asked now.

        `promised`: it only keeps up what was done before, so it is asked for in mode observe as well.
        """
        sent = f"sent/{action.action_id}"
        last_s = self.peek(sent)
        if last_s is not None:
            self._waits[sent] = last_s
        if not (promised or self.may_write(action.host)) or action.action_id in self.snapshot.in_flight:
            return False
        if last_s is not None and self.now.s < last_s + every_s:
            self.wake(last_s + every_s)
            return False
        self._waits[sent] = self.now.s
        self._actions[action.action_id] = action
        return True

    def outcome(self, action_id: str) -> Outcome | None:
        return self.timers.outcomes.get(action_id)

    def certainly_not_done(self, action_id: str) -> Outcome | None:
        """The outcome of an action that provably had no effect."""
        found = self.outcome(action_id)
        return found if found and found.result in {Result.REFUSED, Result.UNREACHABLE, Result.NOT_SENT} else None

    def answer(self, command: Command, accepted: bool, text: str) -> None:
        self._answers.append(Answer(command, accepted, text))
        level = Level.WARNING if accepted else Level.INFO
        verb = "accepted" if accepted else "refused"
        self.note(level, "command", command.host, f"{command.verb} by {command.who} ({command.why}) {verb}: {text}", command.incident)

    def note(self, level: Level, event: str, host: str, text: str, incident: str = "", instance_id: str = "") -> None:
        self._notes.append(Note(level, event, host, text, incident, instance_id))

    def note_once(self, level: Level, event: str, host: str, text: str, incident: str = "", instance_id: str = "") -> None:
        """Say it when it becomes true, and not again before something else was true in between."""
        subject = f"{event}/{host}/{instance_id}"
        if self.timers.said.get(subject) != text and self._said.get(subject) != text:
            self.note(level, event, host, text, incident, instance_id)
        self._said[subject] = text

    def note_change(self, level: Level, event: str, host: str, fact: str, text: str, first: bool = True) -> None:
        """Say `text` when `fact` is another than it was; `first` says whether it is worth saying the first time."""
        subject = f"{event}/{host}/"
        former = self.timers.said.get(subject)
        if former is None and not first:
            return  # so it has always been
        if former != fact:
            self.note(level, event, host, text)
        self._said[subject] = fact

    def said_of(self, event: str, host: str) -> str | None:
        """What was last said of it to be so, and goes on being so if nothing else is said in this tick."""
        subject = f"{event}/{host}/"
        said = self.timers.said.get(subject)
        if said is not None:
            self._said.setdefault(subject, said)
        return said

    def held(self, host: str, named: bool = False) -> Hold | None:
        """The hold that forbids shooting this host now."""
        return next((hold for hold in self.holds if hold.fences and hold.speaks_to(host, named)), None)

    def no_posts(self, host: str, named: bool = False) -> Hold | None:
        """The hold that forbids evacuating anything more from this host now."""
        return next((hold for hold in self.holds if host in hold.waiting or (hold.posts and hold.speaks_to(host, named))), None)

    def decisions(self, hand_over: str = "", signs: Mapping[str, tuple[Sign, ...]] | None = None) -> Decisions:
        before = self.before.hosts
        changed = [r for host, r in sorted(self.records.items()) if before.get(host) is not r and before.get(host) != r]
        incidents = {record.incident for record in self.records.values()}
        incidents |= {w.work for w in self.roster.maintenance.values()} | {d.drill for d in self.roster.drills.values()}
        incidents |= {back.failback for back in self.roster.failbacks.values()}
        incidents |= {spare.loan for spare in self.roster.spares.values()}
        outcomes = {key: o for key, o in self.timers.outcomes.items() if o.action.incident in incidents}
        if self.fleet is None:
            # Nobody was judged: what waits goes on waiting, what was said stays said.
            self._waits, self._said = {**self.timers.waits, **self._waits}, {**self.timers.said, **self._said}
        timers = replace(self.timers, beats=self._beats, waits=self._waits, said=self._said, outcomes=outcomes)
        return Decisions(
            timers=timers,
            writes=tuple(changed),
            closes=tuple(self._closes),
            forgets=tuple(self._forgets),
            roster=self.roster if self.roster is not self.before.roster and self.roster != self.before.roster else None,
            answers=tuple(self._answers),
            actions=tuple(self._actions[key] for key in sorted(self._actions)),
            notes=tuple(self._notes),
            wants=tuple(Want(kind, key, every_s) for (kind, key), every_s in sorted(self._wants.items())),
            wake_s=max(self._wake_s, self.now.s),
            verdicts=dict(sorted(self.verdicts.items())),
            holds=self.holds,
            readiness=self.readiness,
            overdue_cuts=self.overdue_cuts,
            waits_for={host: why for host, why in sorted(self.waits_for.items()) if why},
            signs=signs or {},
            hand_over=hand_over,
        )


def verdict_of(draft: Draft, host: str) -> Verdict:
    """This tick's verdict; UNKNOWN for a host that Nova does not list."""
    found = draft.verdicts.get(host)
    return found.verdict if found else Verdict.UNKNOWN
