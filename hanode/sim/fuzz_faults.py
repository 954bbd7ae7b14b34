"""Which faults does the fuzzer know? A table: kind -> one sentence, and a function that chooses its lines.

A kind may choose nothing when the plan leaves no room for it. What it may not do is break the world in a way that no
daemon could survive: such bounds are said beside each, because they are also the bounds of what hanode promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from hanode.sim.fuzz_office import OFFICE
from hanode.sim.fuzz_people import PEOPLE
from hanode.sim.fuzz_plan import HOSTS, MEND_S, Fault, Lines, Plan, after, until

# --------------------------------------------------------------------------- hosts


def _mains_fail(rng: Random, plan: Plan) -> Lines:
    """A host and its power device lose their supply."""
    at_s, host = plan.victim(rng)
    return [(at_s, f"cut-mains {host}"), *until(rng, at_s, 500.0, f"restore-mains {host}{rng.choice((' powers-on', ''))}")]


def _switched_off(rng: Random, plan: Plan) -> Lines:
    """Somebody switches a host off, and perhaps on again."""
    at_s, host = plan.victim(rng)
    return [(at_s, f"power-off {host}"), *until(rng, at_s, 500.0, f"power-on {host}")]


def _panic(rng: Random, plan: Plan) -> Lines:
    """A kernel panics and the host stays so."""
    at_s, host = plan.victim(rng)
    return [(at_s, f"panic {host}"), *until(rng, at_s, 500.0, f"reboot {host}")]


def _freeze(rng: Random, plan: Plan) -> Lines:
    """A whole host stands still, and may move again with its guests."""
    at_s, host = plan.victim(rng)
    return [(at_s, f"freeze-kernel {host}"), *until(rng, at_s, 300.0, f"thaw-kernel {host}")]


def _own_reboot(rng: Random, plan: Plan) -> Lines:
    """A host reboots by itself; nobody asked."""
    at_s, host = plan.victim(rng)
    return [(at_s, f"reboot {host}")]


def _rack_dies(rng: Random, plan: Plan) -> Lines:
    """Three hosts lose their supply within seconds."""
    at_s = plan.moment(rng)
    hosts = rng.sample(plan.free(), 3)
    plan.blows += [(at_s, host) for host in hosts]
    lines = [(round(at_s + rng.uniform(0.0, 5.0), 1), f"cut-mains {host}") for host in hosts]
    back = [line for host in hosts for line in until(rng, at_s + 5.0, 500.0, f"restore-mains {host} powers-on")]
    return [*lines, *back]


def _cut_off(rng: Random, plan: Plan) -> Lines:
    """A host loses its network; its guests run on."""
    at_s, host = plan.victim(rng)
    return [(at_s, f"cut-network {host} probe-too={rng.choice(('yes', 'no'))}"), *until(rng, at_s, 300.0, f"restore-network {host}")]


def _agent_dies(rng: Random, plan: Plan) -> Lines:
    """nova-compute dies; its guests run on."""
    at_s, host = plan.victim(rng)
    return [(at_s, f"kill-compute {host}"), *until(rng, at_s, 400.0, f"start-compute {host}")]


def _agent_freezes(rng: Random, plan: Plan) -> Lines:
    """nova-compute stands still and may go on where it stood."""
    at_s, host = plan.victim(rng)
    return [(at_s, f"freeze-compute {host}"), *until(rng, at_s, 300.0, f"thaw-compute {host}")]


def _comes_back(rng: Random, plan: Plan) -> Lines:
    """A hand gives a failed host its power back, at any moment."""
    if not plan.blows:
        return []
    at_s, host = rng.choice(plan.blows)
    back_s = after(rng, at_s, 300.0)
    return [(back_s, f"restore-mains {host}"), (back_s, f"power-on {host}")]


def _target_dies(rng: Random, plan: Plan) -> Lines:
    """Another host of the same storage domain fails while it is likely to be rebuilding."""
    if not plan.blows:
        return []
    at_s, host = rng.choice(plan.blows)
    near = [other for other in plan.free() if plan.domains[other] == plan.domains[host] and other != host]
    target, dies_s = rng.choice(near or plan.free()), after(rng, at_s + 12.0, 120.0)
    plan.blows.append((dies_s, target))
    return [(dies_s, f"{rng.choice(('cut-mains', 'panic', 'kill-compute', 'freeze-kernel', 'reboot'))} {target}")]


def _one_network(rng: Random, plan: Plan) -> Lines:
    """A host loses one of the networks over which it is asked itself, perhaps with its way to the control plane."""
    at_s, host = plan.moment(rng), plan.host(rng)
    network = rng.choice(("management", "storage"))
    cut = [(at_s, f"cut-network {host} probe-too=no")] if rng.random() < 0.5 else []
    return [(at_s, f"lose-network {host} {network}"), *cut, *until(rng, at_s, 300.0, f"regain-network {host} {network}")]


# --------------------------------------------------------------------------- power devices


def _device(mode: str, sentence: str, longest_s: float = 300.0) -> Fault:
    def choose(rng: Random, plan: Plan) -> Lines:
        at_s, host = plan.moment(rng), plan.host(rng)
        return [(at_s, f"device {host} {mode}"), *until(rng, at_s, longest_s, f"device {host} ok")]

    choose.__doc__ = sentence
    return choose


def _slow_device(rng: Random, plan: Plan) -> Lines:
    """A power device acts late, and says something else than off until then."""
    at_s, host = plan.moment(rng), plan.host(rng)
    mode = rng.choice(("slow", "powering-off"))
    return [(at_s, f"device {host} {mode} seconds={rng.randint(2, 60)}"), *until(rng, at_s, 300.0, f"device {host} ok")]


def _wrong_device(rng: Random, plan: Plan) -> Lines:
    """A device says off of a host that only looks ill. Were that host silent, nothing could tell that the device lies."""
    host = plan.reserve(rng)
    if host is None:
        return []
    at_s, other = plan.moment(rng), rng.choice([name for name in HOSTS if name != host])
    mode = rng.choice(("lies-off", f"wrong-machine acts-on={other}"))
    return [(at_s, f"device {host} {mode}"), (after(rng, at_s, 60.0), f"{rng.choice(('kill', 'freeze'))}-compute {host}")]


# --------------------------------------------------------------------------- the control plane


def _part(part: str, longest_s: float, sentence: str) -> Fault:
    def choose(rng: Random, plan: Plan) -> Lines:
        at_s = plan.moment(rng)
        back = until(rng, at_s, longest_s, f"restore {part}")
        if part in ("api", "cell"):
            plan.blind.append((at_s, back[0][0] if back else MEND_S))
        return [(at_s, f"fail {part}"), *back]

    choose.__doc__ = sentence
    return choose


def _partial_return(rng: Random, plan: Plan) -> Lines:
    """RabbitMQ freezes, and when it is back some nova-compute have given up."""
    at_s = plan.moment(rng)
    back_s = after(rng, at_s + 20.0, 200.0)
    lost = rng.sample(plan.free(), rng.randint(1, 4))
    return [(at_s, "fail rabbit"), (back_s, "restore rabbit"), *((back_s, f"freeze-compute {host}") for host in sorted(lost))]


CALLS = ("services", "servers", "server", "migrations", "evacuations", "evacuate", "lock", "unlock", "force-down", "disable", "enable",
         "start", "stop", "allocations", "room", "settle-allocation", "actions", "*")
ACCEPT_LAG_S = 50.0
"""A late effect comes within what repost_settle_s allows for (accept_lag_s); past that two guests cannot be excluded."""


def _api_fails(rng: Random, plan: Plan) -> Lines:
    """Some requests end badly, with and without effect."""
    at_s, call = plan.moment(rng), rng.choice(CALLS)
    answer, effect = rng.choice(("down", "hang", "error")), rng.choice(("none", "now", "later"))
    effect = "none" if answer == "down" else effect
    return [(at_s, f"api-fault {call} {answer} effect={effect} times={rng.randint(1, 12)} delay={rng.randint(1, int(ACCEPT_LAG_S))}")]


def _api_refuses(rng: Random, plan: Plan) -> Lines:
    """Nova refuses some requests with 403, as while its policy or a role is being changed."""
    at_s, call = plan.moment(rng), rng.choice(CALLS)
    return [(at_s, f"api-fault {call} refused times={rng.randint(1, 12)}")]


def _api_slow(rng: Random, plan: Plan) -> Lines:
    """Nova answers late, sometimes later than anybody waits."""
    at_s, call = plan.moment(rng), rng.choice(CALLS)
    return [(at_s, f"api-fault {call} slow times={rng.randint(3, 60)} delay={rng.choice((1, 3, 8, 20, 40))}")]


def _claims_fail(rng: Random, plan: Plan) -> Lines:
    """A host refuses every rebuild, whatever Placement said of its room."""
    return [(plan.moment(rng), f"claims-fail {plan.host(rng)}")]


def _no_valid_host(rng: Random, plan: Plan) -> Lines:
    """The scheduler finds no host for a server, for a while."""
    at_s, server = plan.moment(rng), plan.server(rng)
    plan.excuse([server], "the scheduler refused it, which leaves it in ERROR")
    return [(at_s, f"no-valid-host {server}"), *until(rng, at_s, 300.0, f"valid-host {server}")]


# --------------------------------------------------------------------------- storage


def _unmounted(rng: Random, plan: Plan) -> Lines:
    """A host loses its share before anything is asked of it. (Later, Nova itself would delete disks that it takes for moved.)"""
    files = [host for host in plan.free() if plan.domains[host].endswith(":file")]
    return [(round(rng.uniform(30.0, 39.0), 1), f"unmount {rng.choice(files)}")] if files else []


def _storage_sick(rng: Random, plan: Plan) -> Lines:
    """A storage domain answers nothing, or only errors."""
    at_s, domain = plan.moment(rng), rng.choice(sorted(set(plan.domains.values()))).partition(":")[0]
    return [(at_s, f"storage {domain} {rng.choice(('hangs', 'fails'))}"), *until(rng, at_s, 200.0, f"storage {domain} works")]


def _capacity_lost(rng: Random, plan: Plan) -> Lines:
    """A host can take less than it does already, for a while."""
    at_s, host = plan.moment(rng), plan.host(rng)
    return [(at_s, f"inventory {host} vcpus=1"), (after(rng, at_s, 400.0), f"inventory {host} vcpus=32")]


# --------------------------------------------------------------------------- the table

FAILURES: Mapping[str, Fault] = {
    "mains-fail": _mains_fail,
    "switched-off": _switched_off,
    "panic": _panic,
    "freeze": _freeze,
    "own-reboot": _own_reboot,
    "rack-dies": _rack_dies,
    "cut-off": _cut_off,
}
"""Every scenario begins with one of these."""

FAULTS: Mapping[str, Fault] = {
    **FAILURES,
    "agent-dies": _agent_dies,
    "agent-freezes": _agent_freezes,
    "comes-back": _comes_back,
    "target-dies": _target_dies,
    "one-network": _one_network,
    "device-lies": _device("lies", "A power device accepts an off and does nothing."),
    "device-silent": _device("silent", "A power device cannot be reached."),
    "device-hung": _device("hung", "A power device acts and never answers."),
    "device-refuses": _device("refuses", "A power device refuses every command and answers readings."),
    "device-locked-out": _device("locked-out", "A power device refuses the login."),
    "device-flapping": _device("flapping", "A power device says on and off in turn."),
    "device-slow": _slow_device,
    "device-wrong": _wrong_device,
    "rabbit-freezes": _part("rabbit", 200.0, "RabbitMQ freezes: no heartbeats, requests hang, casts wait."),
    "partial-return": _partial_return,
    "conductor-dies": _part("conductor", 200.0, "Every nova-conductor dies."),
    "scheduler-dies": _part("scheduler", 200.0, "Every nova-scheduler dies: evacuations are left rebuilding."),
    "cell-down": _part("cell", 200.0, "The cell database does not answer."),
    "placement-down": _part("placement", 200.0, "Placement refuses connections."),
    "api-down": _part("api", 120.0, "nova-api refuses connections."),
    "api-fails": _api_fails,
    "api-refuses": _api_refuses,
    "api-slow": _api_slow,
    "claims-fail": _claims_fail,
    "no-valid-host": _no_valid_host,
    "share-unmounted": _unmounted,
    "storage-sick": _storage_sick,
    "capacity-lost": _capacity_lost,
    **OFFICE,
    **PEOPLE,
}
