"""Now and then a cloud of the fuzzer has a store that may cut hosts off from their disks. How does that misbehave?

It is drawn by numbers of its own, so that every other cloud stays as it is. What is left out: a store that forgets a cut while the guest
behind it lives. It lets two guests write before anybody can know, so no daemon could keep S1; a scenario shows what is done about it.
"""

from __future__ import annotations

from random import Random

from hanode.sim.fuzz_plan import Lines, Plan, after

CLOUDS = 0.2
MANNERS = ("refuses", "slow seconds=6", "slow seconds=25", "lies-once", "silent", "hung")
LONGEST_S = 90.0
"""A store is away for less than a third of the shortest time after which it forgets."""


def stores(seed: int, plan: Plan) -> tuple[list[str], Lines]:
    """The lines that describe the store, and what happens to it and to the power devices of those who fail."""
    rng = Random(f"stores {seed}")
    domains = sorted(domain for domain in set(plan.domains.values()) if domain.endswith(":rbd"))
    if rng.random() >= CLOUDS or not domains:
        return [], []
    chosen = rng.choice(domains)
    name = chosen.partition(":")[0]
    lines: Lines = []
    for at_s, host in sorted(plan.blows):
        if plan.domains[host] == chosen and rng.random() < 0.8:
            lines.append((max(0.0, round(at_s - 5.0, 1)), f"device {host} silent"))
    for _ in range(rng.choice((0, 1, 1, 2))):
        at_s = plan.moment(rng)
        lines += [(at_s, f"store-is {name} {rng.choice(MANNERS)}"), (after(rng, at_s, LONGEST_S), f"store-is {name} obeys")]
    return [f"store {name} expires={rng.choice((300, 900))} volumes={rng.choice(('yes', 'no'))}"], lines
