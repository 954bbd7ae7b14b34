"""Which faults does chaos know, and when does a seed let them happen?

A plan is drawn before anything happens, so that it depends on its seed alone; what it meets is up to the machine. Never
planned is what nobody could recover from: a device that says off of a host that runs, more failed hosts than the brake
allows, a share that is gone.
"""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests
from keystoneauth1 import exceptions as keystone
from openstack.connection import Connection

from .cluster import Cluster
from .stack import client, faults, power
from .stack.layout import ETCD_MEMBERS, Lab
from .stack.processes import Processes

FRAGILE = ("cn1", "cn2", "cn3")
"""Hosts that fail; at most two of them in a round."""

ETCD = tuple(f"etcd{number}" for number in range(1, ETCD_MEMBERS + 1))
USER_LIMIT_S = 60.0
TROUBLE_S = 60.0
"""All faults of a round begin within so long."""


@dataclass
class Users:
    """The owners of the servers: what they want is what they were seen to get, and what they left as it is."""

    cloud: Connection
    wanted: dict[str, str]  # by server: ACTIVE, SHUTOFF, LOCKED or DELETED; none for one whose owner was left in doubt
    deleted: set[str] = field(default_factory=set)  # or may have been

    def act(self, lot: int, action: str) -> str:
        """One owner does one thing and waits for it; what came of it."""
        able = sorted(key for key, wanted in list(self.wanted.items()) if wanted in {"ACTIVE", "SHUTOFF"})
        if not able:
            return "has no server"
        server_id = able[lot % len(able)]
        was = self.wanted.pop(server_id, None)  # in doubt until it is seen done
        if action == "stop" and was == "SHUTOFF":
            action = "start"
        try:
            if was is not None and client.server(self.cloud, server_id)["locked"]:
                self.wanted[server_id] = was
                return f"cannot {action} {server_id}: it is locked"
            self.wanted[server_id] = self._done(server_id, action)
        except (requests.RequestException, keystone.ClientException, client.TookTooLong) as error:
            return f"did not see {action} of {server_id} done: {type(error).__name__}"
        return f"saw {action} of {server_id} done"

    def _done(self, server_id: str, action: str) -> str:
        if action == "delete":
            self.deleted.add(server_id)
            self.cloud.compute.delete(f"/servers/{server_id}").raise_for_status()
            client.until("gone", lambda: {s["id"] for s in client.servers(self.cloud)}, lambda seen: server_id not in seen, USER_LIMIT_S)
            return "DELETED"
        goal = {"stop": "SHUTOFF", "start": "ACTIVE"}[action]
        client.act(self.cloud, server_id, {f"os-{action}": None})

        def there(seen: dict[str, Any]) -> bool:
            return seen["status"] == goal and not seen["OS-EXT-STS:task_state"]

        client.until(goal, lambda: client.server(self.cloud, server_id), there, USER_LIMIT_S)
        return goal

    def create(self) -> str:
        try:
            made = client.boot(self.cloud, 1, name="new")
        except (requests.RequestException, keystone.ClientException, AssertionError) as error:
            return f"got no new server: {type(error).__name__}"
        self.wanted |= dict.fromkeys(made, "ACTIVE")
        return f"has a new server {made[0]}"


@dataclass
class World:
    """What a fault acts on."""

    lab: Lab
    cluster: Cluster
    users: Users
    pool: ThreadPoolExecutor  # users wait for Nova; the next fault does not wait for them
    tell: Callable[[str], None]
    failures: Counter[str] = field(default_factory=Counter)  # of hosts: so often their instances may have been evacuated
    struck: set[str] = field(default_factory=set)  # daemons that were killed or frozen
    errands: list[Future[None]] = field(default_factory=list)

    def revive_daemons(self) -> None:
        for name in sorted(self.struck):
            self.revive(name)

    def revive(self, name: str) -> None:
        daemon = self.cluster.daemons[name]
        if daemon.runs:
            daemon.signal(signal.SIGCONT)
        else:
            daemon.close()
            daemon.start()
        self.struck.discard(name)

    def in_background(self, work: Callable[[], str]) -> None:
        self.errands.append(self.pool.submit(lambda: self.tell(f"an owner {work()}")))


@dataclass(frozen=True)
class Fault:
    at_s: float
    text: str
    act: Callable[[World], None]

    def happen(self, world: World) -> None:
        world.tell(self.text)
        self.act(world)


def plan(rng: random.Random) -> list[Fault]:
    """Of one round, in order of time."""
    first, second = rng.sample(FRAGILE, 2)
    found = [*_host_fails(rng, first, 0.0)]
    if rng.random() < 0.5:
        found += _host_fails(rng, second, rng.uniform(5, 40))
    for _ in range(rng.randint(2, 4)):
        found += rng.choice(BESIDE)(rng, rng.uniform(0, TROUBLE_S))
    for _ in range(rng.randint(1, 4)):
        found += _user(rng, rng.uniform(0, TROUBLE_S))
    return sorted(found, key=lambda fault: (fault.at_s, fault.text))


# --------------------------------------------------------------------------- hosts


def _host_fails(rng: random.Random, host: str, at_s: float) -> list[Fault]:
    how = rng.choice(["power", "power", "hang", "reboot", "agent"])
    if how == "agent":
        return _agent(rng, host, at_s)
    found = []
    if rng.random() < 0.4:
        kind = rng.choice(["silent", "refuses", "slow", "lies-on"])
        found.append(Fault(at_s, f"the power device of {host}: {kind}", lambda w: _device(w, host, kind)))
    if how == "power":
        found.append(Fault(at_s + 0.1, f"{host} loses its power", lambda w: _fails(w, host, faults.power_cut)))
        if rng.random() < 0.5:
            back_s = at_s + rng.uniform(3, 50)
            found.append(Fault(back_s, f"{host} is switched on", lambda w: faults.power_on(w.lab, host)))
    elif how == "hang":
        found.append(Fault(at_s + 0.1, f"{host} hangs", lambda w: _fails(w, host, faults.freeze_host)))
        if rng.random() < 0.3:
            awake_s = at_s + rng.uniform(3, 50)
            found.append(Fault(awake_s, f"{host} wakes up, if it was not shot", lambda w: faults.thaw_host(w.lab, host)))
    else:
        after_s, reads = rng.uniform(2, 25), rng.choice(["on", "off"])
        text = f"{host} reboots by itself, back in {after_s:.0f} s, its power device says {reads}"
        found.append(Fault(at_s + 0.1, text, lambda w: _fails(w, host, lambda lab, name: faults.reboot(lab, name, after_s, reads))))
    return found


def _fails(world: World, host: str, how: Callable[[Lab, str], None]) -> None:
    world.failures[host] += 1
    how(world.lab, host)


def _device(world: World, host: str, kind: str) -> None:
    faults.bmc_fault(world.lab, host, kind, delay_s=8)


def _agent(rng: random.Random, host: str, at_s: float) -> list[Fault]:
    found = [Fault(at_s, f"nova-compute of {host} is killed", lambda w: _kill_agent(w, host))]
    if rng.random() < 0.5:
        found.append(Fault(at_s + rng.uniform(5, 40), f"nova-compute of {host} is started", lambda w: _start_agent(w, host)))
    return found


def _kill_agent(world: World, host: str) -> None:
    if faults.compute_pid(world.lab, host) is not None:
        faults.kill_compute(world.lab, host)


def _start_agent(world: World, host: str) -> None:
    if power.is_on(world.lab.host(host)) and faults.compute_pid(world.lab, host) is None:
        faults.start_compute(world.lab, host)


# --------------------------------------------------------------------------- beside them


def _leader_killed(rng: random.Random, at_s: float) -> list[Fault]:
    return _leader_struck(at_s, at_s + rng.uniform(3, 25), signal.SIGKILL, "killed with -9")


def _leader_frozen(rng: random.Random, at_s: float) -> list[Fault]:
    return _leader_struck(at_s, at_s + rng.uniform(6, 25), signal.SIGSTOP, "frozen")


def _leader_struck(at_s: float, until_s: float, number: signal.Signals, what: str) -> list[Fault]:
    return [
        Fault(at_s, f"the leader is {what}", lambda w: _strike(w, number)),
        Fault(until_s, f"whoever was {what} goes on", lambda w: w.revive_daemons()),
    ]


def _strike(world: World, number: signal.Signals) -> None:
    leader = world.cluster.leader()
    if leader and len(world.struck) < 2:
        world.tell(f"... which is {leader}")
        world.struck.add(leader)
        world.cluster.daemons[leader].signal(number)


def _etcd(rng: random.Random, at_s: float) -> list[Fault]:
    member, back_s = rng.choice(ETCD), at_s + rng.uniform(3, 30)
    return [
        Fault(at_s, f"{member} is killed, unless it is the last", lambda w: _kill_member(w, member)),
        Fault(back_s, f"{member} is started", lambda w: _start_member(w, member)),
    ]


def _kill_member(world: World, member: str) -> None:
    processes = Processes(world.lab)
    if sum(processes.alive(name) is not None for name in ETCD) > 1:
        faults.kill_service(world.lab, member)


def _start_member(world: World, member: str) -> None:
    if Processes(world.lab).alive(member) is None:
        faults.start_service(world.lab, member)


def _rabbit(rng: random.Random, at_s: float) -> list[Fault]:
    back_s = at_s + rng.uniform(5, 40)
    return [
        Fault(at_s, "RabbitMQ freezes", lambda w: faults.freeze_rabbit(w.lab)),
        Fault(back_s, "RabbitMQ goes on", lambda w: faults.thaw_rabbit(w.lab)),
    ]


def _other_agent(rng: random.Random, at_s: float) -> list[Fault]:
    return _agent(rng, rng.choice(["cn4", "cn5"]), at_s)


BESIDE: Sequence[Callable[[random.Random, float], list[Fault]]] = (
    _leader_killed, _leader_killed, _leader_frozen, _leader_frozen, _etcd, _rabbit, _other_agent,
)  # fmt: skip


def _user(rng: random.Random, at_s: float) -> list[Fault]:
    action, lot = rng.choice(["stop", "delete", "create"]), rng.randrange(1000)
    if action == "create":
        return [Fault(at_s, "an owner wants a new server", lambda w: w.in_background(w.users.create))]
    text = f"an owner wants to {action} a server"
    return [Fault(at_s, text, lambda w: w.in_background(lambda: w.users.act(lot, action)))]
