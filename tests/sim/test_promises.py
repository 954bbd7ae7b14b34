"""Is it seen when a promise of placing is broken, and is nothing said when it is kept? The world alone, without a daemon."""

from __future__ import annotations

import pytest

from hanode.core.decisions import Decisions, Timers
from hanode.core.lifecycle import WorkState
from hanode.core.policy import Policy
from hanode.core.records import Maintenance, Roster
from hanode.sim.evidence import Evidence, Tick
from hanode.sim.promises import NEWS_S, given_back, in_order, kept, kept_apart, left_to_octavia, sent_where_it_may, within_limits
from hanode.sim.world import Server, ServerGroup, World
from tests.sim.story import after, cloud, fail_and_force_down


def failed(zone: str = "", **more: str) -> tuple[World, Server]:
    """A server whose host has failed; c2 is in its zone and has nothing else."""
    world = cloud()
    world.hosts["c3"].zone = "west"
    world.hosts["c3"].traits = frozenset({"CUSTOM_FAST"})
    server = world.add_server("web1", "c1", pinned_zone=zone)
    server.extra_specs = dict(more)
    after(world, 60.0)
    fail_and_force_down(world)
    return world, server


@pytest.mark.parametrize(("zone", "specs", "target", "broken"), [
    ("", {}, "c2", 0),
    ("west", {}, "c2", 1),
    ("west", {}, "c3", 0),
    ("", {"trait:CUSTOM_FAST": "required"}, "c2", 1),
    ("", {"trait:CUSTOM_FAST": "required"}, "c3", 0),
    ("", {"trait:CUSTOM_FAST": "forbidden"}, "c3", 1),
])
def test_it_is_seen_when_an_instance_is_sent_where_it_may_not_be(zone: str, specs: dict[str, str], target: str, broken: int) -> None:
    """Zone and traits, whether Nova's scheduler would have refused or was passed by."""
    world, server = failed(zone, **specs)
    world.nova.evacuate(server.instance_id, target)
    assert len(list(sent_where_it_may(world))) == broken


@pytest.mark.parametrize(("policy", "target", "broken"), [
    ("anti-affinity", "c2", 1), ("anti-affinity", "c3", 0), ("soft-anti-affinity", "c2", 0),
])
def test_it_is_seen_when_members_that_must_not_meet_are_sent_together(policy: str, target: str, broken: int) -> None:
    """The other member has run on c2 for so long that anybody knows it."""
    world, server = failed()
    other = world.add_server("web2", "c2")
    world.servers.groups.append(ServerGroup("apart", policy, frozenset({server.instance_id, other.instance_id})))
    after(world, NEWS_S + 1.0)
    world.nova.evacuate(server.instance_id, target)
    assert len(list(kept_apart(world))) == broken


def test_it_is_seen_when_two_members_are_on_their_way_to_one_host() -> None:
    """Asked for together, Nova's scheduler sees neither on its way."""
    world, server = failed()
    other = world.add_server("web2", "c1")
    world.servers.groups.append(ServerGroup("apart", "anti-affinity", frozenset({server.instance_id, other.instance_id})))
    world.nova.evacuate(server.instance_id, "c2")
    assert list(kept_apart(world)) == []
    world.nova.evacuate(other.instance_id, "c2")
    assert [violation.text for violation in kept_apart(world)] == [
        "web2 from c1 to c2 for hanode: web1 of its server group apart is on its way there"]


@pytest.mark.parametrize(("policy", "broken"), [
    (Policy(), 0), (Policy(max_evacuations=1), 1), (Policy(max_per_target=1), 1), (Policy(max_per_domain=1), 1),
])
def test_it_is_seen_when_more_are_under_way_than_may_be(policy: Policy, broken: int) -> None:
    """In all, to one target, in one storage domain; a policy that was in force at some time and allowed more excuses it."""
    world, server = failed()
    other = world.add_server("web2", "c1")
    world.nova.evacuate(server.instance_id, "c2")
    world.nova.evacuate(other.instance_id, "c2")
    assert len({violation.time_s for violation in within_limits(Evidence(world, policy))}) == broken
    assert list(within_limits(Evidence(world, policy, policies=(Policy(), policy)))) == []


def test_it_is_seen_when_an_amphora_is_sent_anywhere() -> None:
    """Octavia has made another one by then."""
    world, server = failed()
    world.nova.tag_image("amphora-x64", "amphora")
    amphora = world.add_server("amphora1", "c1", image_id="amphora-x64")
    world.nova.evacuate(server.instance_id, "c2")
    assert list(left_to_octavia(world)) == []
    world.nova.evacuate(amphora.instance_id, "c2")
    assert [violation.text for violation in left_to_octavia(world)] == ["amphora1 from c1 to c2 for hanode: its image is an amphora's"]


def test_it_is_seen_who_was_asked_for_first_and_who_ran_again_by_then() -> None:
    """The one asked for first need not run yet, unless the story says so."""
    world, server = failed()
    other = world.add_server("web2", "c1")
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 1.0)
    world.nova.evacuate(other.instance_id, "c3")
    after(world, 60.0)
    assert list(in_order(world, ["web1", "web2"])) == []
    assert len(list(in_order(world, ["web2", "web1"]))) == 1
    assert [violation.invariant for violation in in_order(world, ["web1", "web2"], runs_first=True)] == ["promise"]


@pytest.mark.parametrize(("ended", "disabled", "broken"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_it_is_seen_when_a_host_is_left_disabled_after_its_maintenance(ended: bool, disabled: bool, broken: int) -> None:
    """Who says that the work has ended must have enabled the host; nobody else would."""
    world = cloud()
    world.advance(60.0)
    if disabled:
        world.nova.disable(world.hosts["c1"].service_id, "hanode: maintenance by operator: disk")
    work = Maintenance("c1", "c1-work", "operator", "disk", "", 60.0, WorkState.DRAINING)
    rosters = [Roster(maintenance={"c1": work}), *([Roster()] if ended else [])]
    ticks = [Tick(30.0 + at, "n1", Decisions(Timers(0.0), roster=roster)) for at, roster in enumerate(rosters)]
    assert [violation.invariant for violation in given_back(world, ticks)] == ["promise"] * broken


def test_a_right_recovery_breaks_no_promise() -> None:
    """The judges must not cry wolf."""
    world, server = failed("west")
    world.nova.evacuate(server.instance_id, "c3")
    after(world, 60.0)
    assert list(kept(Evidence(world))) == []
