"""What do the stories about the world have in common?"""

from __future__ import annotations

from collections.abc import Callable

from hanode.sim.world import Domain, MigrationRow, Server, World


def cloud(*hosts: str, domain: Domain | None = None) -> World:
    world = World(seed=7)
    for name in hosts or ("c1", "c2", "c3"):
        world.add_host(name, domain)
    return world


def after(world: World, seconds: float) -> None:
    world.advance(world.now_s + seconds)


def fail_and_force_down(world: World, host: str = "c1") -> None:
    """As hanode does it: off, then forced_down."""
    world.hosts.power_off(host, "test")
    world.nova.set_forced_down(world.hosts[host].service_id, True)


def rows(world: World) -> list[MigrationRow]:
    return world.migrations.rows


def kinds(world: World) -> list[str]:
    return [event.kind for event in world.log]


def state(server: Server) -> tuple[str, str | None, str]:
    return server.vm_state, server.task_state, server.host


def until(world: World, condition: Callable[[], bool], limit_s: float = 600.0) -> None:
    """Let the world go on, event by event, until the condition holds."""
    end_s = world.now_s + limit_s
    while not condition():
        coming_s = world.next_event_s()
        assert coming_s is not None and coming_s <= end_s, "it never came true"
        world.advance(coming_s)
