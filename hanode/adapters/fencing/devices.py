"""Which device belongs to this host, and is it free? The Fencer port over the configured devices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from hanode.adapters.fencing.attempt import POLL_S, Attempt
from hanode.adapters.fencing.config import FencingConfig, IpmiSettings, Settings
from hanode.adapters.fencing.ipmi import Ipmi
from hanode.adapters.fencing.redfish import Redfish
from hanode.core.model import Power
from hanode.errors import ConfigError, Refused


class Device(Protocol):
    def switch(self, power: Power, attempt: Attempt) -> None:
        """Order it; returning means that the device accepted."""
        ...

    def read(self, attempt: Attempt) -> Power:
        """What the device says now."""
        ...


class Devices:
    """Each use opens the device anew from the settings of that moment: `reload` and changed passwords work at once."""

    def __init__(self, config: FencingConfig) -> None:
        self._config = config
        self._turns: dict[str, threading.Lock] = {}

    def reload(self, config: FencingConfig) -> None:
        self._config = config

    def hosts(self) -> frozenset[str]:
        return frozenset(self._config.hosts)

    def where(self, host: str) -> str:
        """Where its device is described, for messages."""
        return f"{self._config.files.get(host, 'fencing.yaml')}: hosts.{host}"

    def power_off(self, host: str, abort: Callable[[], bool]) -> None:
        with self._use(host, abort) as (device, attempt):
            device.switch(Power.OFF, attempt)

    def power_on(self, host: str, abort: Callable[[], bool]) -> None:
        with self._use(host, abort) as (device, attempt):
            device.switch(Power.ON, attempt)

    def read_power(self, host: str) -> Power:
        with self._use(host, abort=lambda: False) as (device, attempt):
            return device.read(attempt)

    @contextmanager
    def _use(self, host: str, abort: Callable[[], bool]) -> Iterator[tuple[Device, Attempt]]:
        settings = self._config.hosts.get(host)
        if settings is None:
            raise Refused(f"host {host} has no power device; describe it in fencing.yaml")
        attempt = Attempt(settings.device, settings.timeout_s, abort)
        turn = self._turns.setdefault(settings.device, threading.Lock())
        attempt.check()
        # Waiting for an earlier call to this device counts against the time of this one; nothing is sent meanwhile.
        while not turn.acquire(timeout=POLL_S):
            attempt.check()
        try:
            yield _open(settings), attempt
        except ConfigError as error:
            # The password can not be read just now: nothing was sent, and only an operator can change that.
            raise Refused(str(error)) from error
        finally:
            turn.release()


def _open(settings: Settings) -> Device:
    return Ipmi(settings) if isinstance(settings, IpmiSettings) else Redfish(settings)
