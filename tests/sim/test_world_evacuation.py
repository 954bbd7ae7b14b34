"""Does the simulated Nova evacuate, fail and run twice exactly as the real one was measured to?"""

from __future__ import annotations

import pytest

from hanode.core.model import Call
from hanode.sim.invariants import no_data_lost, one_writer
from hanode.sim.world import (
    ApiError,
    Domain,
    Hang,
    Inventory,
    Part,
)
from tests.sim.story import after, cloud, fail_and_force_down, kinds, rows, state, until

# --------------------------------------------------------------------------- one evacuation


def test_evacuation_goes_through_all_its_states_and_ends_done() -> None:
    """The host changes last of all: ACTIVE without a task is seen while it is still the source."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    seen: list[tuple[str, str | None, str]] = []
    world.nova.evacuate(server.instance_id, "c2")
    while rows(world)[0].status != "done":
        if not seen or seen[-1] != state(server):
            seen.append(state(server))
        world.advance(world.next_event_s() or 0.0)
    seen.append(state(server))
    assert seen == [
        ("active", "rebuilding", "c1"), ("active", "rebuild_block_device_mapping", "c1"), ("active", "rebuild_spawning", "c1"),
        ("active", None, "c1"), ("active", None, "c2"),
    ]
    assert world.hosts.running(server.instance_id) == ("c2",)
    assert set(world.placement.of_instance(server.instance_id)) == {"c1", "c2"}, "held twice until the source restarts"


def test_evacuation_is_refused_while_the_service_is_up() -> None:
    """The only thing that Nova checks about the source; it never asks whether the guest is dead."""
    world = cloud()
    server = world.add_server("a", "c1")
    with pytest.raises(ApiError) as caught:
        world.nova.evacuate(server.instance_id, "c2")
    assert caught.value.status == 400
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 30)
    assert world.hosts.running(server.instance_id) == ("c1", "c2")
    assert "disk-conflict" in kinds(world)


@pytest.mark.parametrize(("vm_state", "target", "status"), [
    ("paused", "c2", 409), ("resized", "c2", 409), ("active", "c9", 404), ("active", "c1", 400),
])
def test_evacuation_is_refused_with_the_measured_code(vm_state: str, target: str, status: int) -> None:
    """The adapter tells a refusal for good from one that passes by these codes."""
    world = cloud()
    server = world.add_server("a", "c1", vm_state=vm_state)
    fail_and_force_down(world)
    with pytest.raises(ApiError) as caught:
        world.nova.evacuate(server.instance_id, target)
    assert caught.value.status == status
    assert rows(world) == []


def test_a_stopped_server_stays_stopped_and_an_error_one_is_powered_on() -> None:
    """So the state before the failure has to be written down before anything is done."""
    world = cloud()
    stopped = world.add_server("stopped", "c1", vm_state="stopped")
    broken = world.add_server("broken", "c1", vm_state="error", running=False)
    fail_and_force_down(world)
    for server in (stopped, broken):
        world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert state(stopped) == ("stopped", None, "c2")
    assert state(broken) == ("active", None, "c2")
    assert world.hosts.running(stopped.instance_id) == ()
    assert world.hosts.running(broken.instance_id) == ("c2",)


def test_no_valid_host_turns_the_server_into_error() -> None:
    """Visible to its owner: a pre-flight is worth it."""
    world = cloud("c1")
    world.add_host("small", inventories={"VCPU": Inventory(1), "MEMORY_MB": Inventory(512), "DISK_GB": Inventory(9)})
    server = world.add_server("a", "c1", vm_state="stopped")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "small")
    after(world, 30)
    assert state(server) == ("error", None, "c1")
    assert rows(world)[0].status == "error"
    assert set(world.placement.of_instance(server.instance_id)) == {"c1"}


def test_a_failed_claim_keeps_the_state() -> None:
    """The one failure that leaves STOPPED stopped."""
    world = cloud()
    server = world.add_server("a", "c1", vm_state="stopped")
    fail_and_force_down(world)
    world.evacuation.claims_fail_on.add("c2")
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 30)
    assert state(server) == ("stopped", None, "c1")
    assert rows(world)[0].status == "failed"


def test_a_scheduler_that_is_down_leaves_the_server_rebuilding_for_ever() -> None:
    """The record stays accepted; only the action's event says that nothing was cast."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.control.fail(Part.SCHEDULER)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 3600)
    assert state(server) == ("active", "rebuilding", "c1")
    assert rows(world)[0].status == "accepted"
    assert [(e.name, e.result) for e in server.actions[-1].events] == [("rebuild_server", "Error")]


def test_a_conductor_that_is_down_runs_the_evacuation_later() -> None:
    """The message is durable: waiting is right, asking again is a double run."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.control.fail(Part.CONDUCTOR)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 30)
    assert rows(world)[0].status == "accepted"
    world.control.restore(Part.CONDUCTOR)
    after(world, 30)
    assert state(server) == ("active", None, "c2")


def test_after_a_long_outage_the_waiting_evacuation_finds_no_valid_host() -> None:
    """The message is worked off before the targets have beaten again: they all look dead."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.control.fail(Part.CONDUCTOR)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 600)
    world.control.restore(Part.CONDUCTOR)
    after(world, 30)
    assert state(server) == ("error", None, "c1")


def test_with_rabbit_frozen_the_post_hangs_and_takes_effect_later() -> None:
    """A timeout does not mean that it was not started."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.control.fail(Part.RABBIT)
    with pytest.raises(Hang):
        world.nova.evacuate(server.instance_id, "c2")
    assert server.task_state == "rebuilding"
    assert rows(world)[0].status == "accepted"
    world.control.restore(Part.RABBIT)
    after(world, 30)
    assert state(server) == ("active", None, "c2")


def test_a_target_that_dies_after_the_claim_leaves_the_record_open_for_ever() -> None:
    """Its restart does nothing about it: it only looks at servers that Nova places there."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    until(world, lambda: server.task_state == "rebuild_spawning")
    world.hosts.power_off("c2", "test")
    after(world, 60)
    world.hosts.power_on("c2", "test")
    after(world, 600)
    assert state(server) == ("active", "rebuild_spawning", "c1")
    assert (rows(world)[0].status, rows(world)[0].target) == ("pre-migrating", "c2")


def test_a_target_whose_network_dies_in_spawn_runs_the_guest_unseen() -> None:
    """Which is why the target of an unfinished attempt must be proven off before another attempt."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    until(world, lambda: server.task_state == "rebuild_spawning")
    world.hosts.cut_network("c2")
    after(world, 60)
    assert rows(world)[0].status == "pre-migrating"
    assert world.hosts.running(server.instance_id) == ("c2",)


def test_a_server_deleted_meanwhile_fails_its_record() -> None:
    """And nothing of it comes up again."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    world.nova.delete(server.instance_id)
    after(world, 30)
    assert rows(world)[0].status == "failed"
    assert world.hosts.running(server.instance_id) == ()


def test_a_busy_target_queues_rebuilds() -> None:
    """Nova does not throttle them; the target works through them and the rest wait."""
    world = cloud()
    servers = [world.add_server(f"s{n:02}", "c1") for n in range(world.timings.rebuild_slots + 1)]
    fail_and_force_down(world)
    for server in servers:
        world.nova.evacuate(server.instance_id, "c2")
    until(world, lambda: any(row.status == "done" for row in rows(world)))
    assert [row.status for row in rows(world)].count("accepted") == 1
    after(world, 30)
    assert {row.status for row in rows(world)} == {"done"}


# --------------------------------------------------------------------------- asked twice


def test_asked_again_during_spawn_the_guest_runs_twice() -> None:
    """The hazard that everything here is built around: 200, and the same machine on two hosts."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    until(world, lambda: server.task_state == "rebuild_spawning")
    after(world, 4)
    world.nova.evacuate(server.instance_id, "c3")
    after(world, 60)
    assert world.hosts.running(server.instance_id) == ("c2", "c3")
    assert [row.status for row in rows(world)] == ["failed", "done"]
    assert "c2" not in world.placement.of_instance(server.instance_id), "nobody accounts for the orphan"
    assert [v.invariant for v in one_writer(world)] == ["S1"]


def test_asked_twice_at_once_for_the_same_target_it_runs_and_is_called_error() -> None:
    """The second finds the guest there; its record stays accepted for ever, and the allocation is deleted."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert world.hosts.running(server.instance_id) == ("c2",)
    assert state(server) == ("error", None, "c2")
    assert [row.status for row in rows(world)] == ["failed", "accepted"]
    assert "c2" not in world.placement.of_instance(server.instance_id)


def test_a_retry_is_run_under_the_stale_record() -> None:
    """The conductor takes the oldest accepted record, whichever request it belongs to."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.control.fail(Part.SCHEDULER)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 120)
    world.control.restore(Part.SCHEDULER)
    world.nova.evacuate(server.instance_id, "c3")
    after(world, 60)
    assert [row.status for row in rows(world)] == ["done", "accepted"]
    assert server.host == "c3"


def test_a_stale_message_consumed_late_turns_a_good_server_into_error() -> None:
    """Nova's messages have a long life: a target that comes back works off what was sent to it long ago."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2", Call.ON_SHARED_STORAGE)
    world.hosts.freeze_kernel("c2")
    after(world, 10)
    world.nova.reset_state(server.instance_id, "error")
    world.nova.evacuate(server.instance_id, "c3")
    after(world, 60)
    assert server.host == "c3"
    world.hosts.thaw_kernel("c2")
    after(world, 60)
    assert state(server) == ("error", "rebuilding", "c3")
    assert world.hosts.running(server.instance_id) == ("c3",)


# --------------------------------------------------------------------------- storage


def test_another_ceph_cluster_gets_a_new_disk_silently() -> None:
    """On rbd Nova always believes that the disk is there."""
    world = cloud("c1")
    world.add_host("c2", Domain("ceph-b", "rbd"))
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2", Call.ON_SHARED_STORAGE)
    after(world, 60)
    assert rows(world)[0].status == "done"
    assert [v.invariant for v in no_data_lost(world, ())] == ["S6"]


def test_an_unmounted_share_gets_a_new_disk_unless_nova_is_told_that_it_is_shared() -> None:
    """onSharedStorage is Nova's only way to refuse instead of rebuilding; the data stay where they are."""
    world = cloud("c1", "c2", domain=Domain("nfs-a", "file"))
    careful, careless = world.add_server("careful", "c1"), world.add_server("careless", "c1")
    world.hosts.unmount("c2")
    fail_and_force_down(world)
    world.nova.evacuate(careful.instance_id, "c2", Call.ON_SHARED_STORAGE)
    world.nova.evacuate(careless.instance_id, "c2", Call.SCHEDULED)
    after(world, 60)
    assert (state(careful), rows(world)[0].status) == (("error", None, "c1"), "failed")
    assert (state(careless), rows(world)[1].status) == (("active", None, "c2"), "done")
    assert [v.text.partition(" ")[0] for v in no_data_lost(world, ())] == ["careless"]


def test_a_shared_disk_is_the_same_disk_on_the_target() -> None:
    """One disk, two writers one after the other."""
    world = cloud(domain=Domain("nfs-a", "file"))
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2", Call.ON_SHARED_STORAGE)
    after(world, 60)
    (disk,) = world.disks.of_instance(server.instance_id)
    assert [writer.host for writer in disk.writers] == ["c1", "c2"]
    assert list(one_writer(world)) == []
    assert list(no_data_lost(world, ())) == []


def test_a_volume_survives_and_its_ephemeral_disk_does_not() -> None:
    """Boot from volume is safe only without ephemeral disk and swap."""
    world = cloud(domain=Domain("local", "local"))
    plain = world.add_server("plain", "c1", volume_boot=True)
    mixed = world.add_server("mixed", "c1", volume_boot=True, ephemeral_gb=5)
    fail_and_force_down(world)
    for server in (plain, mixed):
        world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert [v.text.partition(" ")[0] for v in no_data_lost(world, ())] == ["mixed"]
