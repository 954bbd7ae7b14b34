"""What may happen in a scenario? The second table of words, each with what it wants and what it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hanode.engine import codec
from hanode.errors import Ambiguous, Unreachable
from hanode.ports import Transaction
from hanode.sim import mending
from hanode.sim.journal import MemoryJournal
from hanode.sim.node import Injection
from hanode.sim.scenario_of_targets import EVENTS_OF_TARGETS
from hanode.sim.scenario_stage import AnyOptions, Birth, Stage, Word
from hanode.sim.world import Answer, ApiError, ApiFault, BmcMode, Down, Effect, Hang


def _of_hosts(verb: str) -> Callable[..., None]:
    return lambda stage, *words, **options: getattr(stage.world.hosts, verb)(*words, **options)


def _misbehave(
    stage: Stage, host: str, mode: BmcMode, seconds: float = 0.0, acts_on: str = "", level: int = 1, number: int = 1,
) -> None:
    stage.world.level(host, level)[number - 1].misbehave(mode, seconds, acts_on)


def _api_fault(stage: Stage, call: str, answer: Answer, effect: Effect = Effect.NONE, times: int = 1, delay: float = 0.0) -> None:
    stage.world.control.inject(ApiFault(call, answer, effect, times, delay))


def _asks(who: str, request: Callable[..., object]) -> Callable[..., None]:
    """Somebody asks Nova for something; Nova may refuse or not answer, and the story then says so."""
    def do(stage: Stage, *words: object, **options: object) -> None:
        try:
            request(stage, *words, **options)
        except (ApiError, Hang, Down) as error:
            stage.simulation.story.say(who, f"is refused: {error}")
    return do


def _wish(stage: Stage, wish: str, server: str) -> None:
    nova, row = stage.world.nova, stage.world.servers.named(server)
    if wish in ("pause", "unpause"):
        row.vm_state, row.power_state = ("paused", "paused") if wish == "pause" else ("active", "running")
        nova.note_action(row, wish, "owner")
    else:
        getattr(nova, wish)(row.instance_id, user="owner")


def _move(verb: str, **more: str) -> Callable[..., None]:
    return lambda stage, server, *words: getattr(stage.world.moves, verb)(stage.server_id(server), *words, **more)


def _admin_evacuate(stage: Stage, server: str, target: str) -> None:
    stage.world.nova.evacuate(stage.server_id(server), target, user="admin")


def _admin_delete(stage: Stage, server: str) -> None:
    stage.world.nova.delete(stage.server_id(server), user="admin")


def _admin_reset(stage: Stage, server: str, state: str) -> None:
    stage.world.nova.reset_state(stage.server_id(server), state, user="admin")


def _service(verb: str, *more: object) -> Callable[..., None]:
    return lambda stage, host, *words: getattr(stage.world.nova, verb)(stage.world.hosts[host].service_id, *words, *more, user="admin")


def _create(stage: Stage, name: str, on: str = "", vcpus: int = 1, ram_mb: int = 1024) -> None:
    stage.world.moves.create(name, on, vcpus, ram_mb)


def _refuses_evacuation(stage: Stage, server: str, why: str) -> None:
    stage.world.control.refuses_evacuation[stage.server_id(server)] = why


def _nova_says(stage: Stage, server: str, state: str = "", task: str = "") -> None:
    row = stage.world.servers.named(server)
    row.vm_state = state or row.vm_state
    row.task_state = {"": row.task_state, "none": None}.get(task, task)


def _live_migration(stage: Stage, server: str, target: str) -> None:
    row = stage.world.servers.named(server)
    row.task_state = "migrating"
    stage.world.migrations.add(row.instance_id, "live-migration", "running", row.host, target)


def _live_migration_ends(stage: Stage, server: str, status: str) -> None:
    row = stage.world.servers.named(server)
    record = next(r for r in reversed(stage.world.migrations.rows) if r.instance_id == row.instance_id and r.kind == "live-migration")
    stage.world.migrations.set_status(record, status, "live migration ended")
    row.task_state = None


def _operator(
    stage: Stage, verb: str, host: str, why: str, server: str = "", canaries: str = "", no_drain: bool = False, **options: float,
) -> None:
    more: dict[str, Any] = {"instance_id": stage.server_id(server)} if server else {}
    if canaries:
        more["canaries"] = tuple(map(stage.server_id, canaries.split(",")))
    stage.simulation.command(verb, host, why, for_s=options.get("for", 0.0), drain=not no_drain, **more)


def _operator_pauses(stage: Stage, why: str, **options: float) -> None:
    stage.simulation.command("pause", "", why, for_s=options.get("for", 3600.0))


def _kill(stage: Stage, daemon: str, **options: float) -> None:
    stage.simulation.kill(daemon, options.get("for", 5.0))


def _pause_before(stage: Stage, daemon: str, call: str) -> None:
    stage.simulation.daemons[daemon].node.pause_before = call


def _cut(stage: Stage, daemon: str, port: str) -> None:
    stage.simulation.daemons[daemon].node.cut.add(port)


def _mend(stage: Stage, daemon: str, port: str) -> None:
    stage.simulation.daemons[daemon].node.cut.discard(port)


JOURNAL = ("journal", "lock")  # one service gives both


def _journal_down(stage: Stage) -> None:
    for daemon in stage.simulation.daemons.values():
        daemon.node.cut.update(JOURNAL)


def _journal_up(stage: Stage) -> None:
    for daemon in stage.simulation.daemons.values():
        daemon.node.cut.difference_update(JOURNAL)


def _journal_restored(stage: Stage, age_s: float) -> None:
    stage.simulation.space.restore(stage.world.now_s - age_s)


def _journal_schema(by: int) -> Callable[[Stage], None]:
    """The roster as a version of hanode writes it whose schema is so much newer than ours."""
    def do(stage: Stage) -> None:
        journal = MemoryJournal(stage.simulation.space)
        for entry in journal.read(codec.ROSTER):
            text = json.dumps({**json.loads(entry.value), "schema": codec.SCHEMA + by})
            journal.commit(Transaction({entry.key: entry.revision}, {entry.key: text}))
    return do


def _mend_all(stage: Stage) -> None:
    _journal_schema(0)(stage)
    mending.mend_all(stage.simulation)


def _clock_jump(stage: Stage, daemon: str, seconds: float) -> None:
    stage.simulation.daemons[daemon].node.wall_s += seconds


def _late_writes(stage: Stage, daemon: str, seconds: float, times: int = 1) -> None:
    """So many of its next writes to the journal are not answered, and arrive so much later."""
    late = Injection("journal.commit", Ambiguous, Effect.LATER, times, seconds)
    stage.simulation.daemons[daemon].node.inject(late)


def _member_lost(stage: Stage, daemon: str, times: int = 3) -> None:
    """The etcd member that it talks to dies: one write was heard and not answered, so many calls fail until another is found."""
    node = stage.simulation.daemons[daemon].node
    node.inject(Injection("journal.commit", Ambiguous, Effect.NOW))
    node.inject(Injection("journal", Unreachable, Effect.NONE, times))


def _resume(stage: Stage, daemon: str, clock_stood_still: bool = False) -> None:
    stage.simulation.daemons[daemon].node.resume(clock_stood_still)


def _reload(stage: Stage, words: Mapping[str, str]) -> None:
    """As SIGHUP does in every daemon at once; whoever starts later starts with it."""
    stage.choose(words)
    stage.simulation.reload(stage.policy)


def _reload_store(stage: Stage, domain: str, proof: bool) -> None:
    """fencing.yaml says otherwise now whether a cut of this store may stand for death."""
    stage.stores[domain] = replace(stage.stores[domain], proof=proof)
    stage.simulation.reload(stage.policy)


EVENTS: Mapping[str, Word] = {
    **EVENTS_OF_TARGETS,
    # a host
    "kill-compute": Word("HOST", _of_hosts("kill_compute")),
    "start-compute": Word("HOST", _of_hosts("start_compute")),
    "freeze-compute": Word("HOST", _of_hosts("freeze_compute")),
    "thaw-compute": Word("HOST", _of_hosts("thaw_compute")),
    "freeze-kernel": Word("HOST", _of_hosts("freeze_kernel")),
    "thaw-kernel": Word("HOST", _of_hosts("thaw_kernel")),
    "panic": Word("HOST", _of_hosts("panic")),
    "crash-messages": Word("HOST seconds=SECONDS", lambda stage, host, seconds=60.0: stage.world.say_crash(host, seconds)),
    "reboot": Word("HOST", _of_hosts("reboot")),
    "power-off": Word("HOST", lambda stage, host: stage.world.hosts.power_off(host, "by a hand")),
    "power-on": Word("HOST", lambda stage, host: stage.world.hosts.power_on(host, "by a hand")),
    "cut-mains": Word("HOST", _of_hosts("cut_mains")),
    "restore-mains": Word("HOST [powers-on]", _of_hosts("restore_mains")),
    "cut-network": Word("HOST probe-too=YES", _of_hosts("cut_network")),
    "lose-network": Word("HOST NAME", lambda stage, host, network: stage.world.lost_networks.add((host, network))),
    "regain-network": Word("HOST NAME", lambda stage, host, network: stage.world.lost_networks.discard((host, network))),
    "restore-network": Word("HOST", _of_hosts("restore_network")),
    "unmount": Word("HOST", _of_hosts("unmount")),
    "mount": Word("HOST", _of_hosts("mount")),
    "storage": Word("STORAGE CONDITION", lambda stage, domain, condition: stage.world.storage.become(domain, condition)),
    "store-is": Word("STORAGE MANNER seconds=SECONDS", lambda stage, *words, seconds=0.0: stage.world.cuts.behave(*words, seconds)),
    "reload-store": Word("STORAGE proof=YES", _reload_store),
    "store-forgets": Word("STORAGE HOST", lambda stage, *words: stage.world.cuts.forget(*words, "it has forgotten that")),
    "device": Word("HOST DEVICE seconds=SECONDS acts-on=HOST level=NUMBER number=NUMBER", _misbehave),
    # a guest
    "service-fails": Word("SERVER", lambda stage, server: stage.world.dumb.add(stage.server_id(server))),
    "service-answers": Word("SERVER", lambda stage, server: stage.world.dumb.discard(stage.server_id(server))),
    # the control plane
    "fail": Word("PART", lambda stage, part: stage.world.control.fail(part)),
    "restore": Word("PART", lambda stage, part: stage.world.control.restore(part)),
    "api-fault": Word("CALL ANSWER effect=EFFECT times=NUMBER delay=SECONDS", _api_fault),
    "no-valid-host": Word("SERVER", lambda stage, server: stage.world.control.no_valid_host.add(stage.server_id(server))),
    "valid-host": Word("SERVER", lambda stage, server: stage.world.control.no_valid_host.discard(stage.server_id(server))),
    "refuses-evacuation": Word("SERVER TEXT", _refuses_evacuation),
    "claims-fail": Word("HOST", lambda stage, host: stage.world.evacuation.claims_fail_on.add(host)),
    "nova-says": Word("SERVER state=STATE task=STATE", _nova_says),
    "live-migration": Word("SERVER to HOST", _live_migration),
    "live-migration-ends": Word("SERVER STATE", _live_migration_ends),
    # people
    "owner": Word("WISH SERVER", _asks("owner", _wish)),
    "create": Birth("NAME on=HOST vcpus=NUMBER ram-mb=NUMBER", _asks("owner", _create)),
    "resize": Word("SERVER to HOST", _asks("owner", _move("migrate", kind="resize"))),
    "confirm-resize": Word("SERVER", _asks("owner", _move("confirm"))),
    "revert-resize": Word("SERVER", _asks("owner", _move("revert"))),
    "cold-migrate": Word("SERVER to HOST", _asks("admin", _move("migrate"))),
    "live-migrate": Word("SERVER to HOST", _asks("admin", _move("live_migrate"))),
    "admin-evacuates": Word("SERVER to HOST", _asks("admin", _admin_evacuate)),
    "admin-deletes": Word("SERVER", _asks("admin", _admin_delete)),
    "admin-resets": Word("SERVER STATE", _asks("admin", _admin_reset)),
    "admin-disables": Word("HOST TEXT", _asks("admin", _service("disable"))),
    "admin-enables": Word("HOST", _asks("admin", _service("enable"))),
    "admin-deletes-service": Word("HOST", lambda stage, host: stage.world.hosts.delete_service(host)),
    "admin-forces-down": Word("HOST", _asks("admin", _service("set_forced_down", True))),
    "mend-all": Word("", _mend_all),
    "tend": Word("every=SECONDS", lambda stage, every=60.0: mending.tend_for_ever(stage.simulation, every)),
    "operator": Word("VERB HOST TEXT server=SERVER canaries=TEXT for=SECONDS [no-drain]", _operator),
    "operator-pauses": Word("TEXT for=SECONDS", _operator_pauses),
    "operator-resumes": Word("TEXT", lambda stage, why: stage.simulation.command("resume", "", why)),
    # daemons
    "kill": Word("DAEMON for=SECONDS", _kill),
    "pause": Word("DAEMON", lambda stage, daemon: stage.simulation.daemons[daemon].node.pause()),
    "late-writes": Word("DAEMON SECONDS times=NUMBER", _late_writes),
    "member-lost": Word("DAEMON times=NUMBER", _member_lost),
    "resume": Word("DAEMON [clock-stood-still]", _resume),
    "pause-before": Word("DAEMON CALL", _pause_before),
    "cut": Word("DAEMON from PORT", _cut),
    "mend": Word("DAEMON from PORT", _mend),
    "deafen": Word("DAEMON to HOST", lambda stage, daemon, host: stage.simulation.daemons[daemon].node.deaf_to.add(host)),
    "undeafen": Word("DAEMON to HOST", lambda stage, daemon, host: stage.simulation.daemons[daemon].node.deaf_to.discard(host)),
    "clock-jump": Word("DAEMON SECONDS", _clock_jump),
    "journal-down": Word("", _journal_down),
    "journal-up": Word("", _journal_up),
    "journal-restored": Word("SECONDS", _journal_restored),
    "journal-newer": Word("", _journal_schema(1)),
    "journal-known": Word("", _journal_schema(0)),
    "reload": AnyOptions("OPTION=VALUE ...", _reload),
    "wipe-journal": Word("", lambda stage: stage.simulation.space.entries.clear()),
}
