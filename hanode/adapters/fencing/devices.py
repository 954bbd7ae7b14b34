"""Which devices belong to this level of the host, and are they free? The Fencer port over the configured devices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from hanode.adapters.fencing.agent import Agent
from hanode.adapters.fencing.attempt import POLL_S, Attempt, LoginRefused
from hanode.adapters.fencing.command import Command
from hanode.adapters.fencing.config import FencingConfig, plan_of
from hanode.adapters.fencing.cuts import Stores
from hanode.adapters.fencing.identity import expecting, is_configured
from hanode.adapters.fencing.ipmi import Ipmi
from hanode.adapters.fencing.ironic import Door, Ironic
from hanode.adapters.fencing.logins import Logins
from hanode.adapters.fencing.redfish import Redfish
from hanode.adapters.fencing.secret import Secret
from hanode.adapters.fencing.settings import (
    AgentSettings,
    CommandSettings,
    HostDevices,
    IpmiSettings,
    IronicSettings,
    RedfishSettings,
    Settings,
)
from hanode.core.facts import DeviceCheck, Power
from hanode.core.levels import said_by_all
from hanode.core.policy import FencePlan, StorePlan
from hanode.errors import ConfigError, HanodeError, Refused, Unreachable, in_part

T = TypeVar("T")
Abort = Callable[[], bool]

STOPPED = "several devices in a row have refused this login; correct it before accounts are locked"


class Device(Protocol):
    def switch(self, power: Power, attempt: Attempt) -> None:
        """Order it; returning means that the device accepted."""
        ...

    def read(self, attempt: Attempt) -> Power:
        """What the device says now."""
        ...

    def look(self, attempt: Attempt) -> tuple[Power, str]:
        """The same, and the device's identity as in DeviceCheck, of whatever machine it is; "" when it has none to tell."""
        ...


# Any: each driver takes its own kind of settings, which is the key that it stands under.
DRIVERS: Mapping[type, Callable[[Any], Device]] = {
    IpmiSettings: Ipmi,
    RedfishSettings: Redfish,
    AgentSettings: Agent,
    CommandSettings: Command,
}


class Turn:
    """Only one command at a time is sent over one line; a check gives way to whoever needs the device in earnest."""

    def __init__(self) -> None:
        self._free = threading.Lock()
        self._count = threading.Lock()
        self._earnest = 0

    def is_wanted(self) -> bool:
        return self._earnest > 0

    @contextmanager
    def taken(self, attempt: Attempt, earnest: bool) -> Iterator[None]:
        self._wish(earnest)
        try:
            attempt.check()
            # Waiting for an earlier call to this device counts against the time of this one; nothing is sent meanwhile.
            while not self._free.acquire(timeout=POLL_S):
                attempt.check()
        finally:
            self._wish(-earnest)
        try:
            yield
        finally:
            self._free.release()

    def _wish(self, by: int) -> None:
        with self._count:
            self._earnest += by


class Devices:
    """Each use opens the device anew from the settings of that moment: `reload` and changed passwords work at once."""

    def __init__(self, config: FencingConfig, ironic: Callable[[], Door] | None = None) -> None:
        self._config = config
        self.stores = Stores(config.stores)
        self._ironic = ironic or _no_ironic
        self._turns: dict[str, Turn] = {}
        self._logins = Logins()
        self._identities: Mapping[str, Mapping[str, str]] = {}

    def reach(self, ironic: Callable[[], Door]) -> None:
        """Speak to the nodes of Ironic through this; until then each use of one is refused."""
        self._ironic = ironic

    def reload(self, config: FencingConfig) -> None:
        self._config, self._logins = config, Logins()
        self.stores.reload(config.stores)

    def hosts(self) -> frozenset[str]:
        return frozenset(name for name, devices in self._config.hosts.items() if devices.levels)

    def plans(self) -> Mapping[str, FencePlan]:
        return self._config.plans()

    def store_plans(self) -> Mapping[str, StorePlan]:
        return self._config.stores.plans()

    def plan(self, host: str) -> FencePlan:
        return plan_of(self._of(host))

    def where(self, host: str) -> str:
        """Where its device is described, for messages."""
        return f"{self._config.files.get(host, 'fencing.yaml')}: hosts.{host}"

    def expect(self, identities: Mapping[str, Mapping[str, str]]) -> None:
        self._identities = identities

    # ------------------------------------------------------------------ one level

    def power_off(self, host: str, abort: Callable[[], bool], level: int = 1) -> None:
        self._switch(host, level, Power.OFF, abort)

    def power_on(self, host: str, abort: Callable[[], bool], level: int = 1) -> None:
        self._switch(host, level, Power.ON, abort)

    def _switch(self, host: str, level: int, power: Power, abort: Callable[[], bool]) -> None:
        devices = self._of(host)
        done: list[str] = []
        for settings in _level(devices, host, level):
            try:
                self._use(devices, self._expected(host, settings), abort, lambda device, attempt: device.switch(power, attempt))
            except HanodeError as error:
                # The devices after this one are left alone: without it the level cannot confirm.
                raise in_part(error, done) from error
            done.append(settings.device)

    def read_power(self, host: str, level: int = 1) -> Power:
        devices = self._of(host)
        said: list[Power | None] = []
        unread: HanodeError | None = None
        for settings in _level(devices, host, level):
            try:
                said.append(self._read(devices, self._expected(host, settings)))
            except HanodeError as error:
                said.append(None)
                unread = unread or error
            if said[-1] is Power.ON:
                break  # it lives, whatever the others say
        together = said_by_all(said)
        if together is None:
            raise unread or Refused(f"level {level} of host {host} has no device")
        return together

    def _read(self, devices: HostDevices, settings: Settings) -> Power:
        return self._use(devices, settings, lambda: False, lambda device, attempt: device.read(attempt))

    def _expected(self, host: str, settings: Settings) -> Settings:
        """As it was told at first contact: a machine that took its place since then proves nothing of this host."""
        return expecting(settings, self._identities.get(host, {}).get(settings.device, ""))

    # ------------------------------------------------------------------ without need

    def check(self, host: str) -> tuple[DeviceCheck, ...]:
        try:
            devices = self._config.of(host)
        except (Refused, ConfigError) as error:  # it is not described, or its template does not fit it
            return (DeviceCheck(0, "", trouble=str(error)),)
        return tuple(self._checked(devices, settings, number) for number, level in enumerate(devices.levels, 1) for settings in level)

    def _checked(self, devices: HostDevices, settings: Settings, level: int) -> DeviceCheck:
        """Credentials that several devices refused in a row are left alone."""
        blank = DeviceCheck(level, settings.device, configured=is_configured(settings))
        if settings.secret and self._logins.stopped(_credentials(devices, settings), _fingerprint(settings.secret)):
            return replace(blank, trouble=f"not asked: {STOPPED}", login_refused=True)
        begun_s = time.monotonic()
        try:
            power, identity = self._use(devices, settings, None, lambda device, attempt: device.look(attempt))
            took_s = time.monotonic() - begun_s
            warning = self._weakness(settings) if isinstance(settings, IpmiSettings) else ""
        except HanodeError as error:
            if self._turn_of(settings).is_wanted():
                raise Unreachable(f"{settings.device}: gave way to a use in earnest") from error
            refused = isinstance(error, LoginRefused)
            return replace(blank, trouble=str(error), login_refused=refused, took_s=time.monotonic() - begun_s)
        return replace(blank, power=power, identity=identity, warning=warning, took_s=took_s)

    def _weakness(self, settings: IpmiSettings) -> str:
        with self._turn(settings, None) as attempt:
            open_to_all = Ipmi(settings).lets_anybody_in(attempt)
        return "lets in anybody with any password (cipher 0, CVE-2013-4782): switch that off in the BMC" if open_to_all else ""

    # ------------------------------------------------------------------ one device

    def _of(self, host: str) -> HostDevices:
        try:
            return self._config.of(host)
        except ConfigError as error:
            raise Refused(str(error)) from error

    def _use(self, devices: HostDevices, settings: Settings, abort: Abort | None, use: Callable[[Device, Attempt], T]) -> T:
        """`abort` None: a check, which gives way."""
        with self._turn(settings, abort) as attempt:
            if settings.secret is None:
                return _translated(lambda: use(self._open(settings), attempt))
            credentials, fingerprint = _credentials(devices, settings), 0
            try:
                fingerprint = _fingerprint(settings.secret)
                answer = self._let_in(settings, settings.secret, attempt, use)
            except LoginRefused:
                self._logins.refused(credentials, fingerprint, settings.device)
                raise
            self._logins.accepted(credentials)
            return answer

    def _open(self, settings: Settings) -> Device:
        return Ironic(settings, self._ironic) if isinstance(settings, IronicSettings) else DRIVERS[type(settings)](settings)

    def _let_in(self, settings: Settings, secret: Secret, attempt: Attempt, use: Callable[[Device, Attempt], T]) -> T:
        """With one password after another, until the device lets us in; a refused login has ordered nothing."""
        *others, last = secret.each()
        for tried in others:
            try:
                return use(self._open(replace(settings, secret=tried)), attempt)
            except (LoginRefused, ConfigError):  # ConfigError: it is not readable, or not there any more
                continue
        return _translated(lambda: use(self._open(replace(settings, secret=last)), attempt))

    @contextmanager
    def _turn(self, settings: Settings, abort: Abort | None) -> Iterator[Attempt]:
        turn = self._turn_of(settings)
        attempt = Attempt(settings.device, settings.timeout_s, abort or turn.is_wanted)
        with turn.taken(attempt, earnest=abort is not None):
            yield attempt

    def _turn_of(self, settings: Settings) -> Turn:
        return self._turns.setdefault(settings.line, Turn())


def _no_ironic() -> Door:
    raise Refused("nobody here speaks to Ironic: this daemon is not connected to the cloud yet")


def _level(devices: HostDevices, host: str, level: int) -> tuple[Settings, ...]:
    if not 1 <= level <= len(devices.levels):
        raise Refused(f"host {host} has no power device at level {level}; describe it in fencing.yaml")
    return devices.levels[level - 1]


def _translated(use: Callable[[], T]) -> T:
    try:
        return use()
    except ConfigError as error:
        # The password can not be read just now: nothing was sent, and only an operator can change that.
        raise Refused(str(error)) from error


def _credentials(devices: HostDevices, settings: Settings) -> str:
    """Who shares this login: the hosts of a template, or whoever reads the same secret."""
    return devices.template or (settings.secret.source if settings.secret else "")


def _fingerprint(secret: Secret) -> int:
    """Differs when the passwords do; of one that cannot be read the use itself tells why."""
    try:
        return hash(tuple(each.read() for each in secret.each()))
    except ConfigError:
        return 0
