"""Is what nobody waits for read a few at a time, and not at all once nobody wants it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

from hanode.core.facts import Power
from hanode.core.model import Moment, Want, WantKind
from hanode.engine.lanes import Lanes
from hanode.engine.observe import CHECKS_AT_ONCE, Observer


class Pool:
    """Runs what was submitted when told, and remembers how much waits."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, pool: str, call: Callable[[], None]) -> None:
        assert pool == "look"
        self.waiting.append(call)

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()


class Devices:
    """Whoever is checked is written down; `during` happens while the first is."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.during: Callable[[], None] = lambda: None

    def check(self, host: str) -> tuple[()]:
        self.checked.append(host)
        self.during()
        return ()

    def read_power(self, host: str, level: int) -> Power:
        return Power.ON


class Clock:
    def now(self) -> Moment:
        return Moment(100.0, "T")


def observer(pool: Pool, devices: Devices, woken: list[str]) -> Observer:
    unused: Any = Mock()
    asked: Any = devices
    return Observer(unused, asked, unused, unused, Clock(), pool, lambda: woken.append("up"), lambda: None)


def checks(*hosts: str) -> list[Want]:
    return [Want(WantKind.CHECK, host, 3600.0) for host in hosts]


def test_a_few_lanes_take_all_in_turn() -> None:
    """A second call adds to the line, not to the lanes."""
    pool, read = Pool(), list[int]()
    lanes = Lanes(pool, "look", 2, read.append)
    lanes.queue(range(5))
    lanes.queue(range(5, 7))
    assert len(pool.waiting) == 2
    pool.run()
    assert read == list(range(7))
    lanes.queue([7])
    pool.run()
    assert read == list(range(8))


def test_checks_are_few_at_once_and_wake_nobody() -> None:
    """Sixteen threads read for those who are in trouble; each wake is a tick with a dozen questions to etcd."""
    pool, devices, woken = Pool(), Devices(), list[str]()
    watched = observer(pool, devices, woken)
    hosts = [f"c{number}" for number in range(9)]
    watched.want(checks(*hosts), 100.0)
    assert len(pool.waiting) == CHECKS_AT_ONCE
    pool.run()
    assert devices.checked == hosts and not woken
    assert {key for _, key in watched.readings()} == set(hosts)


def test_the_moment_a_host_is_in_trouble_no_more_are_checked() -> None:
    """Its devices may sit behind the same slow management network."""
    pool, devices = Pool(), Devices()
    watched = observer(pool, devices, [])
    watched.want(checks("c1", "c2", "c3"), 100.0)

    def decided_meanwhile() -> None:
        watched.want([Want(WantKind.POWER, "c9", 2.0)], 100.0)

    devices.during = decided_meanwhile
    pool.run()
    assert devices.checked == ["c1"]
    assert not [key for kind, key in watched.readings() if kind is WantKind.CHECK and key != "c1"]
    devices.during = lambda: None
    watched.want(checks("c2", "c3"), 100.0)
    pool.run()
    assert devices.checked == ["c1", "c2", "c3"], "and they are checked when all is well again"


def test_a_leader_that_left_its_office_checks_no_more() -> None:
    """Another does it now, and no device likes two who ask."""
    pool, devices = Pool(), Devices()
    watched = observer(pool, devices, [])
    watched.want(checks("c1", "c2"), 100.0)
    watched.rest()
    pool.run()
    assert devices.checked == []
