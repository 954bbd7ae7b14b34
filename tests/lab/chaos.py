"""What if many things fail on the real lab at once, at random, again and again?

`python -m tests.lab.chaos --minutes 20 --seed N`. In each round servers are booted, hosts fail, and the leader, etcd,
RabbitMQ, power devices and users misbehave beside them; then everything is repaired, the end is waited for, and the round
is judged from Nova and the disks. The same seed plans the same faults. Ends with one line of verdict; 1 when it is bad.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import secrets
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hanode.core.lifecycle import ENDED
from openstack.connection import Connection

from .cluster import Cluster, until
from .conftest import mend
from .mischief import Users, World, plan
from .stack import client, disks, faults
from .stack.layout import Lab

HOMES: Mapping[str, int] = {"cn1": 6, "cn2": 6, "cn3": 4, "cn4": 2, "cn5": 2}
"""How many servers each host has at the beginning of a round."""

STATES = ("ACTIVE", "ACTIVE", "SHUTOFF", "LOCKED", "ACTIVE", "ACTIVE")
END_LIMIT_S = 600.0
PROTECTION = "release = auto"
"""Without a person: a host that is back is taken back."""


class Bad(Exception):
    """What is wrong at the end of a round, in lines."""


def play(lab: Lab, cloud: Connection, rng: random.Random, number: int, directory: Path) -> int:
    """One round; how many faults it had."""
    mend(lab, cloud)
    users = Users(cloud, boot(cloud))
    before = disks.read_all(lab)
    with Cluster(lab, directory, protection=PROTECTION, fence_after_s=12.0) as cluster, ThreadPoolExecutor(4) as pool:
        began_s = time.monotonic()

        def tell(text: str) -> None:
            print(f"round {number} {time.monotonic() - began_s:6.1f} s  {text}", flush=True)

        world = World(lab, cluster, users, pool, tell)
        faults_planned = plan(rng)
        for fault in faults_planned:
            pause_until(began_s + fault.at_s)
            fault.happen(world)
        repair(world)
        for errand in world.errands:
            errand.result()
        judge(world, before)
        tell("no harm, everything recovered")
    return len(faults_planned)


def boot(cloud: Connection) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for host, count in HOMES.items():
        chosen |= client.boot_mixed(cloud, host, STATES[:count])
    return chosen


def pause_until(moment_s: float) -> None:
    time.sleep(max(0.0, moment_s - time.monotonic()))


# --------------------------------------------------------------------------- the end of a round


def repair(world: World) -> None:
    """First everything but the power, until what is dead has been recovered; then the hosts come back and are taken back."""
    world.tell("everything is repaired, but no host is switched on")
    faults.repair(world.lab)
    world.revive_daemons()
    until("all recoveries over", lambda: unfinished(world), lambda found: not found, END_LIMIT_S)
    world.tell("all hosts are switched on")
    faults.heal(world.lab)
    until("all hosts back in service", lambda: out_of_service(world), lambda found: not found, END_LIMIT_S)


def unfinished(world: World) -> dict[str, str]:
    """Hosts whose recovery goes on, as the journal has them; all of them while nobody leads."""
    status = world.cluster.status()
    if status.get("holds", True):
        return {host.name: f"held: {status.get('holds')}" for host in world.lab.hosts}
    found = {}
    for host in world.lab.hosts:
        record = world.cluster.record(host.name)
        # A host that is back is RELEASING; its guests are at home, or elsewhere.
        over = record is None or record.state == "RELEASING"
        if record is not None and record.state == "EVACUATING":
            over = all(entry.state in ENDED for entry in record.instances.values())
        verdict = world.cluster.verdict(host.name)
        if not over or (record is None and verdict not in {"HEALTHY", "EXEMPT", "HELD"}):
            found[host.name] = f"{verdict} {record.state if record else ''} {record.reason if record else ''}"
    return found


def out_of_service(world: World) -> dict[str, str]:
    found = {}
    for name, service in client.services(world.users.cloud).items():
        record = world.cluster.record(name)
        if service["state"] != "up" or service["status"] != "enabled" or service["forced_down"] or record is not None:
            found[name] = f"{service['state']} {service['status']} forced_down={service['forced_down']} {record.state if record else ''}"
    return found


# --------------------------------------------------------------------------- judging


def judge(world: World, before: list[disks.Disk]) -> None:
    """Harm is proven by the disks at any moment; that all is as it was may take some seconds more."""
    kept = [disk for disk in before if disk.instance not in world.users.deleted]
    with contextlib.suppress(AssertionError):  # what is amiss is said below, with everything else
        until("all servers as they should be", lambda: list(amiss(world)), lambda found: not found, 120)
    lines = [*map(str, disks.judge(world.lab, kept)), *doubles(world), *amiss(world)]
    if lines:
        raise Bad("\n".join(lines))


def amiss(world: World) -> Iterator[str]:
    """Servers that are not as their owners left them, or that do not write where Nova says, or write where it does not."""
    written = disks.running(world.lab)
    shown = {server["id"]: server for server in client.servers(world.users.cloud)}
    for server_id in sorted(world.users.wanted):
        wanted, server = world.users.wanted[server_id], shown.get(server_id)
        if wanted == "DELETED" or server is None:
            if (wanted == "DELETED") != (server is None):
                yield f"{server_id}: wanted {wanted}, Nova shows {server and server['status']}"
            continue
        host, status = server["OS-EXT-SRV-ATTR:host"], server["status"]
        if server["OS-EXT-STS:task_state"] or status != {"LOCKED": "ACTIVE"}.get(wanted, wanted):
            yield f"{server_id}: wanted {wanted}, is {status} on {host}, task {server['OS-EXT-STS:task_state']}"
        elif server["locked"] != (wanted == "LOCKED"):
            yield f"{server_id}: wanted {wanted}, locked is {server['locked']} ({server.get('locked_reason')})"
        elif written.get(server_id, set()) != ({host} if status == "ACTIVE" else set()):
            yield f"{server_id}: {status} on {host}, but written by {sorted(written.get(server_id, set()))}"


def doubles(world: World) -> Iterator[str]:
    """More evacuations of an instance from a host have succeeded than that host has failed."""
    done = Counter(
        (record["instance_uuid"], record["source_compute"])
        for record in client.evacuations(world.users.cloud)
        if record["instance_uuid"] in world.users.wanted and record["status"] in {"done", "completed"}
    )
    for (instance, source), count in sorted(done.items()):
        if count > max(1, world.failures[source]):
            yield f"{instance}: evacuated {count} times from {source}, which failed {world.failures[source]} times"


# --------------------------------------------------------------------------- the command


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="no new round begins after so long")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    lab = Lab.from_environment()
    cloud = client.connect(lab)
    directory = Path(tempfile.mkdtemp(prefix="hanode-chaos-"))
    ends_s, rounds, count = time.monotonic() + 60 * options.minutes, 0, 0
    while rounds == 0 or time.monotonic() < ends_s:
        rounds += 1
        here = directory / f"round{rounds}"
        try:
            # Of its own seed: a round can be played again alone, whatever the ones before it drew.
            count += play(lab, cloud, random.Random(f"{options.seed}/{rounds}"), rounds, here)
        except Exception as error:  # noqa: BLE001 # whatever ends a round is its verdict, and the lab is mended behind it
            print("\n".join(traceback.format_exception(error)[-1:] if isinstance(error, Bad) else traceback.format_exception(error)))
            print(f"chaos: BAD in round {rounds} of seed {options.seed}, after {count} faults in good ones; logs in {here}")
            mend(lab, cloud)
            return 1
    mend(lab, cloud)
    print(f"chaos: good: seed {options.seed}, {rounds} rounds, {count} faults, no harm, everything recovered; logs in {directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
