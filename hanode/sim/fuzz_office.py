"""What happens to the journal and to the daemons while hosts fail? The part of the fuzzer's table that is about who leads."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from hanode.sim.fuzz_plan import DAEMONS, HOSTS, MEND_S, Fault, Lines, Plan, until

# --------------------------------------------------------------------------- the journal


def _cut_from_journal(rng: Random, plan: Plan) -> Lines:
    """One daemon loses its way to the journal."""
    at_s, daemon = plan.moment(rng), rng.choice(DAEMONS)
    return [(at_s, f"cut {daemon} from journal"), *until(rng, at_s, 120.0, f"mend {daemon} from journal")]


def _no_quorum(rng: Random, plan: Plan) -> Lines:
    """Nobody reaches the journal."""
    at_s = plan.moment(rng)
    back = until(rng, at_s, 120.0, "")
    plan.blind.append((at_s, (back[0][0] if back else MEND_S) + TAKE_OVER_S))
    return [*((at_s, f"cut {daemon} from journal") for daemon in DAEMONS),
            *((back_s, f"mend {daemon} from journal") for back_s, _ in back for daemon in DAEMONS)]


def _wiped(rng: Random, plan: Plan) -> Lines:
    """The journal is lost: nobody knows any more what was before, so nobody is asked to put it back."""
    plan.excuse(plan.homes, "the journal was wiped")
    return [(plan.moment(rng), "wipe-journal")]


def _restored(rng: Random, plan: Plan) -> Lines:
    """The journal is restored from a backup, with every daemon stopped as the manual asks."""
    plan.excuse(plan.homes, "the journal was restored from a backup")
    at_s = plan.moment(rng)
    plan.blind.append((at_s, at_s + 30.0 + TAKE_OVER_S))
    return [*((at_s, f"kill {daemon} for=30") for daemon in DAEMONS), (at_s + 5.0, f"journal-restored {rng.randint(5, 300)}")]


def _newer(rng: Random, plan: Plan) -> Lines:
    """A newer version has written the journal: everybody stands down until that is over."""
    at_s = plan.moment(rng)
    back = until(rng, at_s, 120.0, "journal-known")
    plan.blind.append((at_s, (back[0][0] if back else MEND_S) + TAKE_OVER_S))
    return [(at_s, "journal-newer"), *back]


def _member_lost(rng: Random, plan: Plan) -> Lines:
    """One of three etcd members dies: whoever talked to it looks for another, and one write of his was heard and not answered."""
    at_s = plan.moment(rng)
    return [(at_s, f"member-lost {daemon} times={rng.randint(1, 4)}") for daemon in rng.sample(DAEMONS, rng.randint(1, 3))]


def _late_writes(rng: Random, plan: Plan) -> Lines:
    """Writes to the journal are not answered and arrive later, as from a broken connection."""
    return [(plan.moment(rng), f"late-writes {rng.choice(DAEMONS)} {rng.randint(1, 10)} times={rng.randint(1, 4)}")]


# --------------------------------------------------------------------------- daemons

TAKE_OVER_S = 45.0
"""Between two leaders nobody looks: a lease, and the first reads."""


def _killed(rng: Random, plan: Plan) -> Lines:
    """A daemon dies and is started again."""
    at_s = plan.moment(rng)
    plan.blind.append((at_s, at_s + TAKE_OVER_S))
    return [(at_s, f"kill {rng.choice(DAEMONS)} for={rng.choice((5, 5, 30, 120))}")]


def _paused(rng: Random, plan: Plan) -> Lines:
    """A daemon stands still for longer than its lease, perhaps with its clock."""
    at_s, daemon = plan.moment(rng), rng.choice(DAEMONS)
    back_s = round(at_s + rng.choice((2.0, 10.0, 16.0, 30.0, 90.0)), 1)
    plan.blind.append((at_s, back_s + TAKE_OVER_S))
    return [(at_s, f"pause {daemon}"), (back_s, f"resume {daemon}{rng.choice((' clock-stood-still', ''))}")]


def _clock_jumps(rng: Random, plan: Plan) -> Lines:
    """The wall clock of a daemon jumps, hours back or forth."""
    return [(plan.moment(rng), f"clock-jump {rng.choice(DAEMONS)} {rng.choice((-7200, -90, 90, 7200))}")]


def _cut_from_port(rng: Random, plan: Plan) -> Lines:
    """A daemon loses its way to Nova, to the power devices, to the hosts or to the lock."""
    # Nobody can tell a lying device from a dead host when even the probe is silent.
    ports = ("cloud", "fencer", "lock") if plan.reserved else ("cloud", "fencer", "lock", "probe")
    at_s, daemon, port = plan.moment(rng), rng.choice(DAEMONS), rng.choice(ports)
    back = until(rng, at_s, 200.0, f"mend {daemon} from {port}")
    if port in ("cloud", "lock"):
        plan.blind.append((at_s, (back[0][0] if back else MEND_S) + TAKE_OVER_S))
    return [(at_s, f"cut {daemon} from {port}"), *back]


def _deaf(rng: Random, plan: Plan) -> Lines:
    """A daemon alone does not hear a host, or none at all."""
    if plan.reserved:
        return []  # as above: a lying device of a host that nobody hears cannot be told from the truth
    at_s, daemon = plan.moment(rng), rng.choice(DAEMONS)
    deaf_to = rng.choice(([plan.host(rng)], list(HOSTS)))
    back = until(rng, at_s, 200.0, "")
    return [*((at_s, f"deafen {daemon} to {host}") for host in deaf_to),
            *((back_s, f"undeafen {daemon} to {host}") for back_s, _ in back for host in deaf_to)]


OFFICE: Mapping[str, Fault] = {
    "cut-from-journal": _cut_from_journal,
    "member-lost": _member_lost,
    "no-quorum": _no_quorum,
    "journal-wiped": _wiped,
    "journal-restored": _restored,
    "journal-newer": _newer,
    "late-writes": _late_writes,
    "daemon-killed": _killed,
    "daemon-paused": _paused,
    "clock-jumps": _clock_jumps,
    "cut-from-port": _cut_from_port,
    "deaf": _deaf,
}
