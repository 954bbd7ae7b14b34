"""Is the simulated Nova as nasty as the real one where nobody would expect it? Each story quotes what was measured or read."""

from __future__ import annotations

import pytest

from hanode.core.model import Call
from hanode.sim.invariants import no_data_lost, one_writer
from hanode.sim.world import ApiError, Domain, Hang, Part, Server, ServerGroup, World
from tests.sim.story import after, cloud, fail_and_force_down, kinds, rows, state, until


def group(world: World, policy: str, *servers: Server) -> None:
    world.servers.groups.append(ServerGroup("group", policy, frozenset(server.instance_id for server in servers)))


# --------------------------------------------------------------------------- messages


def test_a_queued_rebuild_is_consumed_hours_later() -> None:
    """"No message TTL on casts (oslo.messaging)" (2.2, XT): whoever waited for it to vanish waits for ever."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2", Call.ON_SHARED_STORAGE)
    world.hosts.freeze_compute("c2")
    after(world, 5 * 3600)
    assert (rows(world)[0].status, world.hosts.is_up("c2")) == ("accepted", False)
    world.hosts.thaw_compute("c2")
    after(world, 60)
    assert (rows(world)[0].status, world.hosts.running(server.instance_id)) == ("done", ("c2",))


def test_a_queued_rebuild_survives_the_restart_of_its_target() -> None:
    """"message is durable in the broker and will run later [...]; retry = double run" (2.1): even a power cycle does not lose it."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2", Call.ON_SHARED_STORAGE)
    world.hosts.power_off("c2", "test")
    after(world, 600)
    world.hosts.power_on("c2", "test")
    after(world, 200)
    assert world.hosts.running(server.instance_id) == ("c2",)


def test_a_hung_post_can_be_asked_again_and_then_runs_twice_over() -> None:
    """"HTTP timeout != not started" (0.2, Xreal-E4): both requests wait in the broker, and the second leaves its record for ever."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.control.fail(Part.RABBIT)
    for _ in range(2):
        with pytest.raises(Hang):
            world.nova.evacuate(server.instance_id, "c2")
    world.control.restore(Part.RABBIT)
    after(world, 120)
    assert [row.status for row in rows(world)] == ["failed", "accepted"]
    assert state(server) == ("error", None, "c2"), "the guest is well, and Nova says ERROR"


# --------------------------------------------------------------------------- what Nova does not look at


def test_a_server_that_is_being_deleted_is_brought_back_to_life() -> None:
    """"evacuates an instance in `deleting` and resurrects it" (1.2, XG): task_state is not checked."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.power_off("c1", "test")
    world.nova.delete(server.instance_id)
    assert server.task_state == "deleting"
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert state(server) == ("active", None, "c2")
    assert world.hosts.running(server.instance_id) == ("c2",)


def test_a_migrating_server_may_run_on_the_other_side_already() -> None:
    """"evacuates one in `migrating` that may already run on the live-migration target [...]; we must exclude migrating" (1.2)."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.moves.live_migrate(server.instance_id, "c2")
    until(world, lambda: rows(world)[0].status == "running")
    world.hosts.kill_compute("c1")
    after(world, 70)
    assert (state(server), world.hosts.running(server.instance_id)) == (("active", "migrating", "c1"), ("c2",))
    world.nova.evacuate(server.instance_id, "c3")
    after(world, 60)
    assert world.hosts.running(server.instance_id) == ("c2", "c3")
    assert [violation.invariant for violation in one_writer(world)] == ["S1"]


# --------------------------------------------------------------------------- server groups


@pytest.mark.parametrize("members", [1, 2])
def test_hard_affinity_never_finds_a_host(members: int) -> None:
    """"scheduler path always fails NoValidHost, even for a group of one" (5, XO, XP): group.hosts includes the failed host."""
    world = cloud()
    servers = [world.add_server(f"a{number}", "c1") for number in range(members)]
    group(world, "affinity", *servers)
    fail_and_force_down(world)
    world.nova.evacuate(servers[0].instance_id, "c2")
    after(world, 60)
    assert state(servers[0]) == ("error", None, "c1")
    assert rows(world)[0].status == "error"


@pytest.mark.parametrize(("members", "status"), [(1, "done"), (2, "failed")])
def test_past_the_scheduler_hard_affinity_lets_only_a_group_of_one_go(members: int, status: str) -> None:
    """"force + host passes, and only for a single-member group; with others still on the dead host the late check" fails (5, XV)."""
    world = cloud()
    servers = [world.add_server(f"a{number}", "c1") for number in range(members)]
    group(world, "affinity", *servers)
    fail_and_force_down(world)
    world.nova.evacuate(servers[0].instance_id, "c2", Call.ON_SHARED_STORAGE)
    after(world, 60)
    assert rows(world)[0].status == status
    assert servers[0].vm_state == ("active" if status == "done" else "error")


def test_members_of_an_anti_affinity_group_race_for_one_host() -> None:
    """"parallel evacuations race: late check [...] => ERROR/failed" (5, XW): the scheduler sees neither of them there yet."""
    world = cloud("c1", "c2")
    one, other = world.add_server("a", "c1"), world.add_server("b", "c1")
    group(world, "anti-affinity", one, other)
    fail_and_force_down(world)
    for server in (one, other):
        world.nova.evacuate(server.instance_id, "c2", Call.ON_SHARED_STORAGE)
    after(world, 60)
    assert sorted(row.status for row in rows(world)) == ["done", "failed"]
    assert sorted(server.vm_state for server in (one, other)) == ["active", "error"]


# --------------------------------------------------------------------------- what stays behind


def test_the_allocation_on_a_target_that_died_leaks_for_ever() -> None:
    """"The first target's allocation leaks for ever" (2.2, XB): the source's restart gives back only its own."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    until(world, lambda: rows(world)[0].status == "pre-migrating")
    world.hosts.power_off("c2", "test")
    world.nova.evacuate(server.instance_id, "c3")
    after(world, 60)
    for host in ("c1", "c2"):
        world.hosts.power_on(host, "test")
    after(world, 300)
    assert server.host == "c3"
    assert set(world.placement.of_instance(server.instance_id)) == {"c2", "c3"}


def test_a_stopped_server_becomes_error_by_a_failed_attempt_and_runs_after_the_next() -> None:
    """"Most failed attempts flip STOPPED->ERROR [...], and evacuating an ERROR instance powers it on" (0.6, XD, XE)."""
    world = cloud()
    server = world.add_server("a", "c1", vm_state="stopped")
    fail_and_force_down(world)
    world.control.no_valid_host.add(server.instance_id)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 30)
    assert state(server) == ("error", None, "c1")
    world.control.no_valid_host.clear()
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert (state(server), world.hosts.running(server.instance_id)) == (("active", None, "c2"), ("c2",))


def test_libvirt_guests_start_an_evacuated_guest_before_nova_removes_it() -> None:
    """"libvirt-guests runs earlier => dual run window" (4): nothing outside of the host can prevent it; its unit must be off."""
    world = World(seed=7)
    world.add_host("c1", libvirt_guests=True)
    world.add_host("c2")
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    world.hosts.power_on("c1", "test")
    after(world, 300)
    assert "disk-conflict" in kinds(world)
    assert world.hosts.running(server.instance_id) == ("c2",), "the start of nova-compute ends it, late"


def test_a_stale_directory_makes_a_target_believe_in_a_shared_disk() -> None:
    """"A stale leftover dir on the target makes it True" (3): Nova then calls a new disk the old one, and onSharedStorage does not help."""
    world = cloud("c1", "c2", domain=Domain("local", "local"))
    server = world.add_server("a", "c1")
    world.disks.bear("local@c2", server.instance_id, world.disks.all()[0].births[0])
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2", Call.ON_SHARED_STORAGE)
    after(world, 60)
    assert rows(world)[0].status == "done"
    assert [violation.invariant for violation in no_data_lost(world, ())] == ["S6"]


# --------------------------------------------------------------------------- refusals


def test_a_server_with_two_allocations_cannot_be_forced() -> None:
    """"forced moves fail (>1 provider)" (4): every server that was evacuated once, until its former host restarts."""
    world = cloud("c1", "c2", "c3")
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    fail_and_force_down(world, "c2")
    world.nova.evacuate(server.instance_id, "c3", Call.ON_SHARED_STORAGE)
    after(world, 60)
    assert (state(server), rows(world)[1].status) == (("active", None, "c2"), "error")


def test_nova_knows_no_server_by_a_name_that_was_never_given() -> None:
    """404, as for one that is gone."""
    world = cloud()
    with pytest.raises(ApiError, match="404"):
        world.servers.named("nobody")
