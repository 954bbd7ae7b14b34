"""Do the simulated levels behave as a host with a BMC and two power supplies does?"""

from __future__ import annotations

import pytest

from hanode.core.facts import Power
from hanode.core.policy import FenceLevel, FencePlan
from hanode.errors import Ambiguous, Unreachable
from hanode.sim.ports import SimFencer, SimNode
from hanode.sim.world import BmcMode, World


@pytest.fixture
def world() -> World:
    made = World()
    made.add_host("c1")
    made.add_level("c1", devices=2, outlets=True)
    return made


@pytest.fixture
def fencer(world: World) -> SimFencer:
    return SimFencer(SimNode(world, "n1"))


def never() -> bool:
    return False


def test_a_host_lives_on_one_of_its_two_outlets(world: World) -> None:
    """Only the last one takes its current, and that of its BMC."""
    first, second = world.level("c1", 2)
    first.power_off()
    world.advance(60)
    assert world.hosts["c1"].powered and first.read() is Power.OFF
    second.power_off()
    world.advance(120)
    assert not world.hosts["c1"].powered
    assert not world.hosts["c1"].mains


def test_an_outlet_that_is_switched_on_feeds_the_host_again(world: World, fencer: SimFencer) -> None:
    """Its firmware boots when the current is back."""
    fencer.power_off("c1", never, 2)
    world.advance(60)
    with pytest.raises(Unreachable):
        fencer.read_power("c1", 1)
    assert fencer.read_power("c1", 2) is Power.OFF
    fencer.power_on("c1", never, 2)
    world.advance(120)
    assert world.hosts["c1"].powered
    assert fencer.read_power("c1", 1) is Power.ON


def test_a_level_of_which_a_part_accepted_is_ambiguous(world: World, fencer: SimFencer) -> None:
    """As in the adapter: one outlet is off already, so nobody may say that nothing happened."""
    world.level("c1", 2)[1].misbehave(BmcMode.SILENT)
    with pytest.raises(Ambiguous, match="device 1 accepted it, but"):
        fencer.power_off("c1", never, 2)
    world.advance(60)
    with pytest.raises(Unreachable):
        fencer.read_power("c1", 2)


def test_the_plan_of_the_world_is_that_of_its_devices(world: World) -> None:
    """What the scenarios give to the core is what fencing.yaml would."""
    assert world.fence_plans() == {"c1": FencePlan((FenceLevel(), FenceLevel(outlets=True)))}
