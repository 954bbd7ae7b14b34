"""Do simulated hosts come back, freeze and die, and power devices lie, as real ones do?"""

from __future__ import annotations

import pytest

from hanode.core.facts import Power
from hanode.sim.invariants import one_writer
from hanode.sim.world import (
    ApiError,
    BmcMode,
    Domain,
    Down,
    Hang,
    Kernel,
    Part,
    World,
)
from tests.sim.story import after, cloud, fail_and_force_down, rows, state, until

# --------------------------------------------------------------------------- coming back


def test_a_returning_host_destroys_what_was_evacuated_from_it() -> None:
    """done becomes completed, the second allocation goes, and only then may forced_down be cleared."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    world.hosts.power_on("c1", "test")
    with pytest.raises(ApiError) as caught:
        world.nova.set_forced_down(world.hosts["c1"].service_id, False)
    assert caught.value.status == 400
    until(world, lambda: rows(world)[0].status == "completed")
    world.nova.set_forced_down(world.hosts["c1"].service_id, False)
    assert set(world.placement.of_instance(server.instance_id)) == {"c2"}
    assert server.instance_id not in world.hosts["c1"].guests
    assert world.hosts.running(server.instance_id) == ("c2",)


def test_a_stuck_record_kills_the_guest_of_a_returning_host() -> None:
    """completed with the host still the source is a lost machine: the record alone does not mean success."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.control.fail(Part.SCHEDULER)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 120)
    world.hosts.power_on("c1", "test")
    until(world, lambda: rows(world)[0].status == "completed")
    assert state(server) == ("active", "rebuilding", "c1")
    assert server.instance_id not in world.hosts["c1"].guests


def test_one_restart_clears_one_record_per_instance() -> None:
    """After a retry under a stale record a second restart is needed before the host can be released."""
    world = cloud()
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.control.fail(Part.SCHEDULER)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 120)
    world.control.restore(Part.SCHEDULER)
    world.nova.evacuate(server.instance_id, "c3")
    after(world, 60)
    left = []
    for _ in range(2):
        world.hosts.reboot("c1") if world.hosts["c1"].powered else world.hosts.power_on("c1", "test")
        after(world, 200)
        left.append(sum(row.status != "completed" for row in rows(world)))
    assert left == [1, 0]


def test_a_host_that_was_only_cut_off_keeps_its_guests_and_the_records_stay() -> None:
    """Nova cleans up at the start of nova-compute and at no other time: a fence is a power cycle."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.cut_network("c1")
    world.advance(100)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    world.hosts.restore_network("c1")
    after(world, 600)
    assert world.hosts.running(server.instance_id) == ("c1", "c2")
    assert rows(world)[0].status == "done"


def test_a_local_disk_is_deleted_when_its_host_returns() -> None:
    """After an evacuation of a local disk the original survives only until nova-compute starts there."""
    world = cloud(domain=Domain("local", "local"))
    server = world.add_server("a", "c1")
    fail_and_force_down(world)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert world.disks.exists("local@c1", server.instance_id)
    world.hosts.power_on("c1", "test")
    until(world, lambda: rows(world)[0].status == "completed")
    assert not world.disks.exists("local@c1", server.instance_id)


def test_after_a_reboot_guests_stay_off_and_nova_calls_them_stopped() -> None:
    """Nobody starts them, and the stop action names no user: that is how it differs from the owner's own stop."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.reboot("c1")
    after(world, 300)
    assert world.hosts.is_up("c1")
    assert state(server) == ("stopped", None, "c1")
    assert [(a.name, a.user) for a in server.actions] == [("stop", None)]
    world.nova.start(server.instance_id)
    after(world, 30)
    assert state(server) == ("active", None, "c1")
    assert world.hosts.running(server.instance_id) == ("c1",)


def test_a_host_may_be_told_to_resume_its_guests() -> None:
    """resume_guests_state_on_host_boot."""
    world = World(seed=7)
    world.add_host("c1", resumes_guests=True)
    server = world.add_server("a", "c1")
    world.hosts.reboot("c1")
    after(world, 300)
    assert state(server) == ("active", None, "c1")
    assert world.hosts.running(server.instance_id) == ("c1",)


def test_start_and_stop_are_refused_in_the_wrong_state() -> None:
    """409, and nothing changes."""
    world = cloud()
    running = world.add_server("running", "c1")
    stopped = world.add_server("stopped", "c1", vm_state="stopped")
    for call, server in ((world.nova.start, running), (world.nova.stop, stopped)):
        with pytest.raises(ApiError) as caught:
            call(server.instance_id)
        assert caught.value.status == 409


def test_an_administrators_unlock_takes_the_owners_lock_too() -> None:
    """Nova keeps one lock, not one per who: a server that was locked before must not be unlocked."""
    world = cloud()
    server = world.add_server("a", "c1", locked=True)
    world.nova.lock(server.instance_id, "hanode: x")
    assert (server.locked, server.locked_by, server.locked_reason) == (True, "admin", "hanode: x")
    world.nova.unlock(server.instance_id)
    assert not server.locked


# --------------------------------------------------------------------------- hosts and power devices


def test_a_frozen_host_may_write_again() -> None:
    """Frozen is not dead: its guests count as running until they are really gone."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.freeze_kernel("c1")
    world.advance(100)
    assert not world.hosts["c1"].answers
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert [v.invariant for v in one_writer(world)] == ["S1"]


def test_a_panic_kills_the_guests_and_leaves_the_power_on() -> None:
    """Their disks are free then, but no power device can prove it."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.panic("c1")
    assert world.hosts["c1"].kernel is Kernel.CRASHED
    assert world.hosts.running(server.instance_id) == ()
    assert world.bmcs["c1"].read() is Power.ON


def test_a_good_device_powers_off_after_a_moment_and_on_again() -> None:
    """Accepted is not off; only reading it tells."""
    world = cloud()
    bmc = world.bmcs["c1"]
    bmc.power_off()
    assert bmc.read() is Power.ON
    after(world, 5)
    assert bmc.read() is Power.OFF
    bmc.power_on()
    after(world, 120)
    assert world.hosts["c1"].agent_runs


@pytest.mark.parametrize(("mode", "says", "powered"), [
    (BmcMode.LIES, Power.ON, True),
    (BmcMode.LIES_OFF, Power.OFF, True),
    (BmcMode.SLOW, Power.ON, True),
    (BmcMode.POWERING_OFF, Power.OTHER, True),
    (BmcMode.OK, Power.OFF, False),
])
def test_a_device_may_lie(mode: BmcMode, says: Power, powered: bool) -> None:
    """What it says after an accepted off, and what is true."""
    world = cloud()
    world.bmcs["c1"].misbehave(mode, seconds=60)
    world.bmcs["c1"].power_off()
    after(world, 10)
    assert world.bmcs["c1"].read() is says
    assert world.hosts["c1"].powered is powered


@pytest.mark.parametrize(("mode", "error"), [
    (BmcMode.SILENT, Down), (BmcMode.REFUSES, ApiError), (BmcMode.LOCKED_OUT, ApiError), (BmcMode.HUNG, Hang),
])
def test_a_device_may_fail(mode: BmcMode, error: type[Exception]) -> None:
    """A hung one has acted all the same."""
    world = cloud()
    world.bmcs["c1"].misbehave(mode)
    with pytest.raises(error):
        world.bmcs["c1"].power_off()
    after(world, 10)
    assert world.hosts["c1"].powered is (mode is not BmcMode.HUNG)


def test_a_device_dies_with_the_mains_of_its_host() -> None:
    """Off can then never be confirmed: a case for another device or a person."""
    world = cloud()
    world.hosts.cut_mains("c1")
    with pytest.raises(Down):
        world.bmcs["c1"].read()
    assert not world.hosts["c1"].powered


def test_a_swapped_cable_kills_another_host() -> None:
    """And reads that one's power, so that both readings of off are true, of the wrong host."""
    world = cloud()
    world.bmcs["c1"].misbehave(BmcMode.WRONG_MACHINE, acts_on="c2")
    world.bmcs["c1"].power_off()
    after(world, 10)
    assert world.bmcs["c1"].read() is Power.OFF
    assert (world.hosts["c1"].powered, world.hosts["c2"].powered) == (True, False)


def test_a_flapping_device_says_both() -> None:
    """One reading of off is not proof."""
    world = cloud()
    world.bmcs["c1"].misbehave(BmcMode.FLAPPING)
    assert [world.bmcs["c1"].read() for _ in range(4)] == [Power.ON, Power.OFF, Power.ON, Power.OFF]
