"""Do users build, move and resize servers, and does storage fall sick, as in a real cloud: at any moment, and half done?"""

from __future__ import annotations

import pytest

from hanode.sim.invariants import no_data_lost, one_writer
from hanode.sim.world import ApiError, Condition, World
from tests.sim.story import after, cloud, fail_and_force_down, rows, state, until

# --------------------------------------------------------------------------- a new server


def test_a_new_server_is_building_until_it_runs() -> None:
    """Whoever reads the list of a host meanwhile sees a server that nobody has to bring back."""
    world = cloud()
    world.moves.create("a", "c2")
    server = world.servers.named("a")
    assert state(server) == ("building", "spawning", "c2")
    after(world, 30)
    assert (state(server), world.hosts.running(server.instance_id)) == (("active", None, "c2"), ("c2",))
    assert list(no_data_lost(world, ())) == []


def test_a_new_server_whose_host_dies_stays_building_and_ends_in_error() -> None:
    """Nova's `_init_instance` errors it out when the host is back; before that nothing ends it."""
    world = cloud()
    world.moves.create("a", "c2")
    world.hosts.power_off("c2", "test")
    after(world, 600)
    server = world.servers.named("a")
    assert state(server) == ("building", "spawning", "c2")
    world.hosts.power_on("c2", "test")
    after(world, 300)
    assert state(server) == ("error", None, "c2")


def test_a_new_server_that_is_deleted_while_it_is_built_never_runs() -> None:
    """Its build sees another task and gives up."""
    world = cloud()
    world.moves.create("a", "c2")
    world.nova.delete(world.servers.named("a").instance_id)
    after(world, 60)
    server = world.servers.named("a")
    assert (server.deleted, world.hosts.running(server.instance_id)) == (True, ())


# --------------------------------------------------------------------------- live migration


def test_a_live_migration_hands_over_in_one_moment() -> None:
    """One writer after the other; the record is completed and the allocation of the source given back."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.moves.live_migrate(server.instance_id, "c2")
    after(world, 60)
    assert (state(server), rows(world)[0].status) == (("active", None, "c2"), "completed")
    assert world.hosts.running(server.instance_id) == ("c2",)
    assert set(world.placement.of_instance(server.instance_id)) == {"c2"}
    assert list(one_writer(world)) == []


def test_a_live_migration_whose_source_dies_leaves_the_server_migrating_for_ever() -> None:
    """The record stays running, and where the guest is only the hypervisors know."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.moves.live_migrate(server.instance_id, "c2")
    until(world, lambda: rows(world)[0].status == "running")
    world.hosts.power_off("c1", "test")
    after(world, 3600)
    assert (state(server), rows(world)[0].status) == (("active", "migrating", "c1"), "running")
    assert world.hosts.running(server.instance_id) == ()


def test_a_live_migration_whose_target_dies_ends_in_error_and_runs_on() -> None:
    """Nova takes it back: the guest never stopped."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.moves.live_migrate(server.instance_id, "c2")
    until(world, lambda: rows(world)[0].status == "running")
    world.hosts.power_off("c2", "test")
    after(world, 60)
    assert (state(server), rows(world)[0].status) == (("active", None, "c1"), "error")
    assert world.hosts.running(server.instance_id) == ("c1",)


# --------------------------------------------------------------------------- cold migration and resize


@pytest.mark.parametrize(("decide", "host"), [("confirm", "c2"), ("revert", "c1")])
def test_a_resize_waits_to_be_confirmed_or_reverted(decide: str, host: str) -> None:
    """Until then it is held on two hosts, and Nova does not evacuate it."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.moves.migrate(server.instance_id, "c2", "resize")
    after(world, 60)
    assert (state(server), rows(world)[0].status) == (("resized", None, "c2"), "finished")
    getattr(world.moves, decide)(server.instance_id)
    assert state(server) == ("active", None, host)
    assert world.hosts.running(server.instance_id) == (host,)
    assert set(world.placement.of_instance(server.instance_id)) == {host}
    assert list(one_writer(world)) == []


def test_a_resize_belongs_to_its_target_before_it_runs_there() -> None:
    """A target that dies in between takes down a server that never ran on it."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.moves.migrate(server.instance_id, "c2", "resize")
    until(world, lambda: server.host == "c2")
    world.hosts.power_off("c2", "test")
    after(world, 600)
    assert (server.task_state or "").startswith("resize_")
    assert world.hosts.running(server.instance_id) == ()


def test_a_stopped_server_is_moved_and_stays_stopped() -> None:
    """A cold migration starts only what ran."""
    world = cloud()
    server = world.add_server("a", "c1", vm_state="stopped")
    world.moves.migrate(server.instance_id, "c2")
    after(world, 60)
    world.moves.confirm(server.instance_id)
    assert (state(server), world.hosts.running(server.instance_id)) == (("stopped", None, "c2"), ())


def test_a_move_is_refused_while_the_source_is_down_or_the_target_sees_another_disk() -> None:
    """The API says so at once, and nothing of the server has changed."""
    world = World(seed=7)
    for name in ("c1", "c2"):
        world.add_host(name)
    server = world.add_server("a", "c1")
    world.hosts["c2"].domain = type(world.hosts["c1"].domain)("ceph-b", "rbd")
    with pytest.raises(ApiError, match="400"):
        world.moves.live_migrate(server.instance_id, "c2")
    world.hosts["c2"].domain = world.hosts["c1"].domain
    fail_and_force_down(world)
    with pytest.raises(ApiError, match="400"):
        world.moves.migrate(server.instance_id, "c2")
    assert (state(server), rows(world)) == (("active", None, "c1"), [])


# --------------------------------------------------------------------------- sick storage


def test_a_rebuild_waits_for_storage_that_hangs_and_then_goes_on() -> None:
    """Nova has no deadline for it: an hour later it is still spawning, and then it runs."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.storage.become("ceph-a", Condition.HANGS)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 3600)
    assert (server.task_state, rows(world)[0].status) == ("rebuild_spawning", "pre-migrating")
    world.storage.become("ceph-a", Condition.WORKS)
    after(world, 60)
    assert (state(server), world.hosts.running(server.instance_id)) == (("active", None, "c2"), ("c2",))


def test_a_rebuild_on_storage_that_fails_ends_in_error() -> None:
    """And so would each of a hundred retries: a sick domain is no reason to burn its servers."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.storage.become("ceph-a", Condition.FAILS)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert (state(server), rows(world)[0].status) == (("error", None, "c1"), "failed")
    assert server.fault == "Input/output error in ceph-a"


def test_a_start_on_storage_that_fails_leaves_the_server_stopped() -> None:
    """The action has an error event, and the task is over."""
    world = cloud()
    server = world.add_server("a", "c1", vm_state="stopped")
    world.storage.become("ceph-a", Condition.FAILS)
    world.nova.start(server.instance_id)
    after(world, 60)
    assert state(server) == ("stopped", None, "c1")
    assert server.actions[-1].events[-1].result == "Error"


def test_guests_of_failing_storage_are_shown_paused_until_it_is_well() -> None:
    """libvirt pauses them and Nova shows an active server whose power state is paused: it ran, and is to run again."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.storage.become("ceph-a", Condition.FAILS)
    assert (server.vm_state, server.power_state) == ("active", "paused")
    world.storage.become("ceph-a", Condition.WORKS)
    assert (server.vm_state, server.power_state) == ("active", "running")
