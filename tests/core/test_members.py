"""Whose disks are believed to be those of its storage domain?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.decide import decide
from hanode.core.decisions import Timers
from hanode.core.facts import Fleet, Host, Reading
from hanode.core.members import unlike
from hanode.core.model import Moment, Snapshot, WantKind
from hanode.core.place import Placed, Refused, place
from hanode.core.records import Records, Roster
from hanode.core.room import Ground
from tests.core.facts import POLICY, host, instance
from tests.core.test_place import ask, room, targets


def sized(**sizes: int) -> dict[str, Host]:
    """Hosts of one domain that report so many GB."""
    hosts = {name: host(name) for name in sizes}
    return {name: replace(found, hypervisor=replace(found.hypervisor, disk_gb=sizes[name]))  # type: ignore[type-var]
            for name, found in hosts.items()}


@pytest.mark.parametrize(("sizes", "wrong"), [
    ({"a": 1000, "b": 1000, "c": 1000, "d": 400}, {"d"}),
    ({"a": 1000, "b": 1005, "c": 996, "d": 400}, {"d"}),
    ({"a": 1000, "b": 1000, "c": 400}, {"c"}),
    ({"a": 1000, "b": 400}, set()),
    ({"a": 1000, "b": 1000, "c": 400, "d": 400}, set()),
    ({"a": 100, "b": 200, "c": 300, "d": 400}, set()),
    ({"a": 1000, "b": 1000, "c": 1000, "d": 0}, set()),
], ids=["one differs", "a pool moves a little", "of three", "of two nobody knows", "no majority", "disks of their own", "does not say"])
def test_a_host_that_reports_another_store_than_most_of_its_domain_is_not_believed(sizes: dict[str, int], wrong: set[str]) -> None:
    """An unmounted share is a smaller disk; where most do not agree nothing follows."""
    assert set(unlike(sized(**sizes), POLICY)) == wrong


def test_only_a_disk_is_kept_away_from_such_a_host_and_the_remedy_is_told() -> None:
    """Volumes are attached wherever the instance runs."""
    left = room(c2=5)
    left.ground = Ground(unlike={"c2": "share not mounted? It reports 1 GB of disk, most hosts of A 9"})
    found = place(ask(instance()), targets("c2"), left)
    assert isinstance(found, Refused) and "share not mounted?" in found.reason and "nova-compute" in found.remedy
    assert isinstance(place(ask(instance(image_id="")), targets("c2"), left), Placed)


def test_a_host_whose_ports_would_not_be_wired_is_no_target_at_all() -> None:
    """Its guests would come up without a network, or not at all."""
    left = room(c2=5, c3=1)
    left.ground = Ground(cut_off=frozenset({"c2"}))
    found = place(ask(instance(image_id="")), targets("c2", "c3"), left)
    assert isinstance(found, Placed) and found.target == "c3"


def looked(hosts: dict[str, Host], roster: Roster, timers: Timers, now_s: float) -> tuple[Roster, Timers]:
    """One tick of a leader that sees these hosts."""
    seen = Snapshot({(WantKind.FLEET, ""): Reading[object](Fleet(hosts, ()), now_s, now_s)})
    decisions = decide(seen, Records(roster=roster), timers, POLICY, Moment(now_s, "2030-01-01T00:00:00Z"))
    return decisions.roster or roster, decisions.timers


def test_the_first_leader_believes_what_it_finds_and_later_ones_wait_for_what_is_new() -> None:
    """Whatever the change of leaders: a new one measures anew, so that a newcomer waits longer, never shorter."""
    roster, _ = looked({"c1": host("c1")}, Roster(), Timers(0.0), 1.0)
    assert roster.members == {"c1": "A"}
    both = {"c1": host("c1"), "c2": host("c2")}
    timers = Timers(100.0)
    for now_s in range(100, 650, 10):
        roster, timers = looked(both, roster, timers, float(now_s))
        assert roster.members == {"c1": "A"}
    timers = Timers(650.0)  # another leader
    for now_s in range(650, 1260, 10):
        assert roster.members == {"c1": "A"}
        roster, timers = looked(both, roster, timers, float(now_s))
    assert roster.members == {"c1": "A", "c2": "A"}


def test_a_host_that_is_declared_for_another_domain_is_new_there() -> None:
    """It must not count for either before its time."""
    roster, timers = looked({"c1": host("c1"), "c2": host("c2")}, Roster(), Timers(0.0), 1.0)
    for now_s in (2.0, 70.0):
        roster, timers = looked({"c1": host("c1"), "c2": host("c2", "B")}, roster, timers, now_s)
    assert roster.members == {"c1": "A"}
