"""What do people do while hosts fail? The part of the fuzzer's table that is about users, administrators and operators."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from hanode.core.commands import VERBS
from hanode.sim.fuzz_plan import HOSTS, Fault, Lines, Plan, after, until


def _owners(rng: Random, plan: Plan) -> Lines:
    """Users do with their servers what they like, in the middle of it."""
    lines = []
    for _ in range(rng.randint(2, 6)):
        wish, server = rng.choice(("delete", "start", "stop", "lock", "unlock")), plan.server(rng)
        lines.append((plan.moment(rng), f"owner {wish} {server}"))
    return lines


def _creates(rng: Random, plan: Plan) -> Lines:
    """Users create servers while hosts fail."""
    names = [f"new{number}" for number in range(1, rng.randint(2, 5))]
    return [(plan.moment(rng), f"create {name} on={rng.choice(HOSTS)}") for name in names]


def _moves(rng: Random, plan: Plan) -> Lines:
    """Users resize and administrators migrate servers while hosts fail; where those end is not hanode's to say."""
    lines: Lines = []
    for _ in range(rng.randint(1, 4)):
        server, at_s = plan.server(rng), plan.moment(rng)
        target = rng.choice([host for host in HOSTS if host != plan.homes[server]])
        plan.excuse([server], "was moved by its owner or an administrator")
        what = rng.choice(("resize", "cold-migrate", "live-migrate"))
        lines.append((at_s, f"{what} {server} to {target}"))
        if what != "live-migrate" and rng.random() < 0.7:
            lines.append((after(rng, at_s + 10.0, 120.0), f"{rng.choice(('confirm', 'revert'))}-resize {server}"))
    return lines


def _operator(rng: Random, plan: Plan) -> Lines:
    """An operator types anything of any host, at any moment."""
    return [(plan.moment(rng), f'operator {rng.choice(sorted(VERBS))} {plan.host(rng)} "let us see"') for _ in range(rng.randint(1, 4))]


def _confirms(rng: Random, plan: Plan) -> Lines:
    """An operator says that a host is dead, rightly or not."""
    if not plan.blows:
        return []
    at_s, host = rng.choice(plan.blows)
    return [(after(rng, at_s + 60.0, 240.0), f'operator confirm-fenced {host} "I have looked"')]


def _releases(rng: Random, plan: Plan) -> Lines:
    """An operator wants a failed host back, too soon or not."""
    if not plan.blows:
        return []
    at_s, host = rng.choice(plan.blows)
    return [(after(rng, at_s + 20.0, 300.0), f'operator release {host} "it is repaired"')]


def _admin(rng: Random, plan: Plan) -> Lines:
    """An administrator disables, enables or forces down a service behind hanode's back."""
    host = plan.host(rng)
    plan.excuse(plan.on(host), "an administrator took its host out of hanode's hands")
    return [(plan.moment(rng), rng.choice((f"admin-disables {host} maintenance", f"admin-enables {host}", f"admin-forces-down {host}")))]


def _live_migration(rng: Random, plan: Plan) -> Lines:
    """A server is being moved by hand when its host fails."""
    server, at_s = plan.server(rng), plan.moment(rng)
    target = rng.choice([host for host in HOSTS if host != plan.homes[server]])
    return [(at_s, f"live-migration {server} to {target}"), (after(rng, at_s, 200.0), f"live-migration-ends {server} error")]


def _another_ha(rng: Random, plan: Plan) -> Lines:
    """Another HA system evacuates the servers of a failed host as well, as soon as Nova lets it, and fences nobody.

    It stays within the storage domain and off shares, where a wrong target alone would make Nova build new disks.
    """
    blows = [(at_s, host) for at_s, host in plan.blows if plan.domains[host].endswith(":rbd")]
    if not blows:
        return []
    at_s, host = rng.choice(blows)
    targets = [other for other in plan.free() if plan.domains[other] == plan.domains[host] and other != host]
    if not targets:
        return []
    servers = plan.on(host)
    plan.excuse(servers, "another HA system sent it away as well")
    begins_s = after(rng, at_s + rng.choice((15.0, 60.0)), 120.0)
    asked = rng.sample(servers, rng.randint(0, len(servers)))
    return [(round(begins_s + at / 2, 1), f"admin-evacuates {server} to {rng.choice(targets)}") for at, server in enumerate(asked)]


def _pauses(rng: Random, plan: Plan) -> Lines:
    """An operator pauses all fencing for a while, and may take it back."""
    at_s, for_s = plan.moment(rng), rng.randint(20, 400)
    plan.blind.append((at_s, at_s + for_s))
    resumes = [(after(rng, at_s, 300.0), 'operator-resumes "it is done"')] if rng.random() < 0.5 else []
    return [(at_s, f'operator-pauses "work on the switches" for={for_s}'), *resumes]


def _maintenance(rng: Random, plan: Plan) -> Lines:
    """People work on a host: it is drained or not, switched off when they think fit, and the work ends by a word or by itself."""
    at_s, host = plan.moment(rng), plan.host(rng)
    for_s, how = rng.choice((60, 300, 900)), rng.choice(("", "", " no-drain"))
    lines = [(at_s, f'operator maintenance {host} "its memory is replaced" for={for_s}{how}')]
    if rng.random() < 0.6:
        off_s = after(rng, at_s + rng.choice((1.0, 60.0, 150.0)), 60.0)
        plan.blows.append((off_s, host))
        lines += [(off_s, f"power-off {host}"), *until(rng, off_s, 400.0, f"power-on {host}")]
    if rng.random() < 0.5:
        lines.append((after(rng, at_s + 10.0, 500.0), f'operator end-maintenance {host} "done"'))
    return lines


def _reloads(rng: Random, plan: Plan) -> Lines:
    """An operator changes the configuration of running daemons, limits that need no new judgement."""
    options = ("max_evacuations=1", "max_evacuations=8", "release=auto", "release=operator", "follow_s=3", "fence_after_s=90")
    return [(plan.moment(rng), f"reload {rng.choice(options)}") for _ in range(rng.randint(1, 3))]


PEOPLE: Mapping[str, Fault] = {
    "owners": _owners,
    "creates": _creates,
    "moves": _moves,
    "operator": _operator,
    "confirms": _confirms,
    "releases": _releases,
    "admin": _admin,
    "live-migration": _live_migration,
    "another-ha": _another_ha,
    "maintenance": _maintenance,
    "pauses": _pauses,
    "reloads": _reloads,
}
