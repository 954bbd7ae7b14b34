"""What does a power device do, and what does it say? Not always the same."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from hanode.core.facts import Power
from hanode.sim.world.control import ApiError, Down, Hang
from hanode.sim.world.ids import uuid_of

if TYPE_CHECKING:
    from hanode.sim.world.world import World


class BmcMode(StrEnum):
    """How a device behaves; each value is a sentence for the log."""

    OK = "does as it is told"
    LIES = "accepts an off and does nothing"
    LIES_OFF = "accepts an off, does nothing and says off"
    SILENT = "cannot be reached"
    HUNG = "acts and never answers"
    REFUSES = "refuses every command, and answers readings"
    LOCKED_OUT = "refuses every login"
    SLOW = "acts some seconds later than others, and says on until then"
    FLAPPING = "says on and off in turn"
    WRONG_MACHINE = "is wired to another host"
    OLD_COPY = "says off from an old copy until it has carried out an order"
    POWERING_OFF = "says PoweringOff for some seconds before it is off"


class Bmc:
    """One device per host. Raises Down (no connection), Hang (no answer) or ApiError (it said no)."""

    def __init__(self, world: World, host: str) -> None:
        self._world = world
        self.host = host
        self.mode = BmcMode.OK
        self.seconds = 0.0  # of SLOW and POWERING_OFF
        self.acts_on = host  # of WRONG_MACHINE
        self._order = 0  # the newest command wins
        self._obeyed = 0  # commands carried out
        self._powering_off = False
        self._claims_off = False
        self._readings = 0

    def misbehave(self, mode: BmcMode, seconds: float = 0.0, acts_on: str = "") -> None:
        self.mode, self.seconds, self.acts_on = mode, seconds, acts_on or self.host
        self._world.record("bmc", self.host, f"the power device of {self.host} {mode}")

    @property
    def identity(self) -> str:
        """As it tells it; of the machine that it is wired to."""
        return f"uuid {uuid_of(f'machine {self.acts_on}')}"

    def power_off(self) -> None:
        """Returning means accepted."""
        self._command("off")

    def power_on(self) -> None:
        self._command("on")

    def read(self) -> Power:
        self._listen()
        self._readings += 1
        if self.mode is BmcMode.FLAPPING:
            return Power.ON if self._readings % 2 else Power.OFF
        if self.mode is BmcMode.HUNG:
            raise Hang(f"the power device of {self.host} does not answer")
        if self._powering_off:
            return Power.OTHER
        if self.mode is BmcMode.OLD_COPY and not self._obeyed:
            return Power.OFF
        if self.mode is BmcMode.LIES_OFF and self._claims_off:
            return Power.OFF
        return Power.ON if self._is_on() else Power.OFF

    def _is_on(self) -> bool:
        return self._world.hosts[self.acts_on].powered

    def _has_current(self) -> bool:
        return self._world.hosts[self.host].mains

    def _listen(self) -> None:
        """Every call ends here when the device is dead or does not like us."""
        if self.mode is BmcMode.SILENT or not self._has_current():
            raise Down(f"the power device of {self.host} cannot be reached")
        if self.mode is BmcMode.LOCKED_OUT:
            raise ApiError(401, f"the power device of {self.host} refuses the login")

    def _command(self, to: str) -> None:
        self._listen()
        self._record_command(to)
        if self.mode is BmcMode.REFUSES:
            raise ApiError(400, f"the power device of {self.host} refuses to power {to}")
        self._claims_off = to == "off"
        if self.mode not in (BmcMode.LIES, BmcMode.LIES_OFF):
            self._schedule(to)
        if self.mode is BmcMode.HUNG:
            raise Hang(f"the power device of {self.host} does not answer")

    def _record_command(self, to: str) -> None:
        """With the truth about the host at this moment, for the judge of S4."""
        host, now_s = self._world.hosts[self.host], self._world.now_s
        self._world.record(
            f"{to}-command", self.host, f"its power device is told {to}",
            powered="on" if host.powered else "off", answers=str(host.answers),
            beat_age_s=f"{now_s - host.beat_s:.3f}", beating_for_s=f"{now_s - host.beating_since_s:.3f}",
        )

    def _schedule(self, to: str) -> None:
        timings = self._world.timings
        self._order += 1
        order = self._order
        extra_s = self.seconds if self.mode in (BmcMode.SLOW, BmcMode.POWERING_OFF) else 0.0
        self._powering_off = to == "off" and self.mode is BmcMode.POWERING_OFF and self._world.hosts[self.acts_on].powered

        def act() -> None:
            if order != self._order:
                return
            self._powering_off = False
            self._obeyed += 1
            self._switch(to)

        if self.mode is BmcMode.OLD_COPY:
            act()  # who gives copies calls an order accepted only once it is carried out
            return
        self._world.after((timings.off_s if to == "off" else timings.on_s) + extra_s, act, f"power {to} {self.host}")

    def _switch(self, to: str) -> None:
        if to == "off":
            self._world.hosts.power_off(self.acts_on, f"the power device of {self.host}")
        else:
            self._world.hosts.power_on(self.acts_on, f"the power device of {self.host}")


class Outlet(Bmc):
    """One of the outlets that feed a host: the host loses its mains when the last of them is off, and its BMC with it."""

    def __init__(self, world: World, host: str, siblings: list[Outlet]) -> None:
        super().__init__(world, host)
        self.feeds = True
        self._siblings = siblings
        siblings.append(self)

    @property
    def identity(self) -> str:
        return ""  # it cannot know what is plugged in

    def _is_on(self) -> bool:
        return self.feeds

    def _has_current(self) -> bool:
        return True

    def _switch(self, to: str) -> None:
        self.feeds = to == "on"
        if not any(outlet.feeds for outlet in self._siblings):
            self._world.hosts.cut_mains(self.acts_on)
        elif self.feeds and not self._world.hosts[self.acts_on].mains:
            self._world.hosts.restore_mains(self.acts_on, powers_on=True)
