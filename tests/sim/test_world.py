"""Does the simulated cloud keep time, show its services and fail single requests as the real one does?"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest

from hanode.sim.invariants import digest
from hanode.sim.world import (
    Answer,
    ApiError,
    ApiFault,
    BmcMode,
    Condition,
    Domain,
    Down,
    Effect,
    Hang,
    Part,
    World,
)
from tests.sim.story import after, cloud, fail_and_force_down, until

# --------------------------------------------------------------------------- time


def test_the_same_seed_gives_the_same_log() -> None:
    """D1 rests on it: nothing in the world may depend on anything but its seed and what was done to it."""
    def story(seed: int) -> str:
        world = World(seed=seed)
        for name in ("c1", "c2"):
            world.add_host(name)
        server = world.add_server("a", "c1")
        world.hosts.kill_compute("c1")
        until(world, lambda: not world.hosts.is_up("c1"))
        fail_and_force_down(world)
        world.nova.evacuate(server.instance_id, "c2")
        after(world, 60)
        return digest(world.log)
    assert story(1) == story(1)
    assert story(1) != story(2)


def test_an_event_must_not_advance_the_world() -> None:
    """Time inside time would make the order of events depend on who asked."""
    world = cloud()
    world.at(1.0, lambda: world.advance(5.0), "nested")
    with pytest.raises(RuntimeError):
        world.advance(2.0)


HAPPENINGS = (
    "kill_compute", "freeze_compute", "thaw_compute", "start_compute", "freeze_kernel", "thaw_kernel", "panic", "reboot",
    "cut_mains", "restore_mains", "cut_network", "restore_network", "unmount", "mount",
)


@pytest.mark.parametrize("seed", range(20))
def test_the_world_goes_on_whatever_happens(seed: int) -> None:
    """Faults of every kind in any order, on hosts in any condition, and requests in between: it never breaks."""
    dice = random.Random(seed)
    world = cloud(domain=Domain("nfs-a", "file"))
    servers = [world.add_server(f"s{n}", f"c{n % 3 + 1}", volume_boot=n % 2 == 0).instance_id for n in range(6)]
    requests: tuple[Callable[[str], object], ...] = (
        world.nova.evacuate, world.nova.start, world.nova.stop, world.nova.delete, world.nova.lock,
        lambda instance_id: world.nova.reset_state(instance_id, "error"),
        lambda instance_id: world.moves.live_migrate(instance_id, dice.choice(list(world.hosts))),
        lambda instance_id: world.moves.migrate(instance_id, dice.choice(list(world.hosts)), dice.choice(("migration", "resize"))),
        world.moves.confirm, world.moves.revert,
    )
    for _ in range(200):
        host, part = dice.choice(list(world.hosts)), dice.choice(list(Part))
        happen: Callable[[str], None] = getattr(world.hosts, dice.choice(HAPPENINGS))
        happen(host)
        dice.choice((world.control.fail, world.control.restore, world.control.restore))(part)
        world.storage.become("nfs-a", dice.choice(list(Condition)))
        world.bmcs[host].misbehave(dice.choice(list(BmcMode)), seconds=5, acts_on=dice.choice(list(world.hosts)))
        for command in (world.bmcs[host].power_off, world.bmcs[host].power_on):
            with contextlib.suppress(ApiError, Hang, Down):
                command()
        with contextlib.suppress(ApiError, Hang, Down):
            dice.choice(requests)(dice.choice(servers))
        after(world, dice.uniform(0, 100))
    assert world.next_event_s() is not None


# --------------------------------------------------------------------------- service state


def test_a_dead_host_is_down_fifty_to_sixty_seconds_later() -> None:
    """Nova only sees that the last heartbeat is older than service_down_time."""
    world = cloud()
    world.advance(100)
    world.hosts.power_off("c1", "test")
    until(world, lambda: not world.hosts.is_up("c1"))
    assert 150 <= world.now_s <= 171
    assert world.hosts.is_up("c2")


def test_updated_at_moves_with_our_own_writes_too() -> None:
    """So a moved stamp alone does not prove a heartbeat."""
    world = cloud()
    world.hosts.power_off("c1", "test")
    world.advance(100)
    before = world.nova.services()[0].updated_at
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    assert world.nova.services()[0].updated_at > before
    assert world.nova.services()[0].state == "down"


@pytest.mark.parametrize(("part", "stale", "fresh"), [
    (Part.RABBIT, {"nova-compute"}, {"nova-conductor", "nova-scheduler"}),
    (Part.CONDUCTOR, {"nova-compute", "nova-conductor"}, {"nova-scheduler"}),
])
def test_each_control_plane_failure_has_its_signature(part: Part, stale: set[str], fresh: set[str]) -> None:
    """Those signatures are how a failed control plane is told from failed hosts."""
    world = cloud()
    world.control.fail(part)
    world.advance(100)
    seen: dict[str | None, set[str]] = {}
    for service in world.nova.services():
        seen.setdefault(service.state, set()).add(service.binary)
    assert seen["down"] == stale
    assert seen["up"] == fresh
    world.control.restore(part)
    after(world, 20)
    assert {service.state for service in world.nova.services()} == {"up"}


def test_services_of_a_dead_cell_have_no_state() -> None:
    """2.69 and newer: unknown, and never to be read as down."""
    world = cloud()
    world.control.fail(Part.CELL)
    assert {s.state for s in world.nova.services() if s.binary == "nova-compute"} == {None}
    with pytest.raises(ApiError) as caught:
        world.nova.servers("c1")
    assert caught.value.status == 500


def test_disabling_a_silent_host_that_nova_calls_up_waits_for_it() -> None:
    """Which is why forced_down comes first; the write itself has happened by then."""
    world = cloud()
    world.hosts.power_off("c1", "test")
    service_id = world.hosts["c1"].service_id
    world.nova.disable(service_id, "first")
    assert world.control.delay_s == world.timings.rpc_timeout_s
    assert world.hosts["c1"].status == "disabled"
    world.nova.set_forced_down(service_id, True)
    world.nova.disable(service_id, "second")
    assert world.control.delay_s == 0


# --------------------------------------------------------------------------- faults of single requests


@pytest.mark.parametrize(
    ("answer", "error"), [(Answer.HANG, Hang), (Answer.ERROR, ApiError), (Answer.REFUSED, ApiError), (Answer.DOWN, Down)],
)
@pytest.mark.parametrize("effect", list(Effect))
def test_a_faulty_request_ends_badly_whatever_it_does(answer: Answer, error: type[Exception], effect: Effect) -> None:
    """Each answer with each effect: only reading the world tells which it was."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.control.inject(ApiFault("lock", answer, effect, delay_s=20))
    with pytest.raises(error):
        world.nova.lock(server.instance_id, "x")
    assert server.locked is (effect is Effect.NOW)
    after(world, 30)
    assert server.locked is (effect is not Effect.NONE)
    world.nova.unlock(server.instance_id)


def test_a_slow_answer_tells_how_late_it_is() -> None:
    """The caller's timeout is the caller's business."""
    world = cloud()
    world.control.inject(ApiFault("*", Answer.SLOW, delay_s=12, times=2))
    world.nova.services()
    assert world.control.delay_s == 12
    world.nova.servers("c1")
    assert world.control.delay_s == 12
    world.nova.servers("c1")
    assert world.control.delay_s == 0


def test_placement_down_hits_its_own_requests_only() -> None:
    """Nova's API goes on answering."""
    world = cloud()
    provider_id = world.hosts["c1"].provider_id
    assert world.nova.room(provider_id)["MEMORY_MB"] == 131072 - 4096
    world.control.fail(Part.PLACEMENT)
    with pytest.raises(Down):
        world.nova.room(provider_id)
    assert world.nova.servers("c1") == ()
