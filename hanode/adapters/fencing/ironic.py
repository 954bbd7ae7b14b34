"""How is a node of Ironic switched, and what does its word prove?

A GET never asks the machine: `power_state` is what Ironic's database holds. It is written after a power action, and by the sweep of
the conductors each `[conductor] sync_power_state_interval` (60 s; not of nodes in maintenance, nor of locked ones). With
`force_power_state_during_sync`, the default, that sweep does not even correct it: it switches the machine as the database says.
So reading it twice is no second look at the machine. But an order is: before it acts, the conductor asks the BMC how it is
(conductor/utils.py `_can_skip_state_change`), and it calls the action done, `target_power_state` null and no `last_error`, only
when the BMC says so (`node_power_action`, and the drivers' waiting in `set_power_state`).

Hence the rule: an off is sent twice, seconds apart, and each is followed to its end. Only after that a `power off` that is read
counts (`core.levels.believed`); before it, it may be older than the host's failure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote

from hanode.adapters.fencing.attempt import Attempt, in_thread
from hanode.adapters.fencing.settings import IronicSettings
from hanode.adapters.rest import Conflict
from hanode.core.facts import Power
from hanode.errors import Refused

MICROVERSION = "1.42"  # Rocky: `fault`
TARGETS: Mapping[Power, str] = {Power.ON: "power on", Power.OFF: "power off"}
STATES: Mapping[object, Power] = {"power on": Power.ON, "power off": Power.OFF}
PAUSE_S = 0.5
APART_S = 2.0
"""Between the two offs: the second one is the second reading of the machine."""

Node = Mapping[str, Any]  # Any: JSON of a stranger; each field is checked where it is read


class Door(Protocol):
    """The baremetal service, as `adapters.rest.Rest` speaks to it."""

    def get(self, path: str, *, microversion: str) -> Any: ...
    def write(self, method: str, path: str, body: Any, *, microversion: str) -> None: ...


class Ironic:
    def __init__(self, settings: IronicSettings, door: Callable[[], Door]) -> None:
        self._settings, self._door = settings, door
        self._path = f"/nodes/{quote(settings.node, safe='')}"

    def switch(self, power: Power, attempt: Attempt) -> None:
        in_thread(attempt, lambda: self._switch(power, attempt))

    def read(self, attempt: Attempt) -> Power:
        return in_thread(attempt, lambda: self._read(attempt)[0])

    def look(self, attempt: Attempt) -> tuple[Power, str]:
        return in_thread(attempt, lambda: self._read(attempt))

    def _read(self, attempt: Attempt) -> tuple[Power, str]:
        node = self._node(attempt)
        uuid = node.get("uuid")
        return _power(node), f"uuid {uuid}" if isinstance(uuid, str) else ""

    def _switch(self, power: Power, attempt: Attempt) -> None:
        door = self._door()
        self._node(attempt)
        self._order(door, power, attempt)
        if power is Power.OFF:
            threading.Event().wait(min(APART_S, attempt.remaining_s()))
            self._order(door, power, attempt)

    def _order(self, door: Door, power: Power, attempt: Attempt) -> None:
        """Send it, as soon as nobody has the node locked, and follow it to its end."""
        while True:
            attempt.sending()
            try:
                door.write("PUT", f"{self._path}/states/power", {"target": TARGETS[power]}, microversion=MICROVERSION)
                break
            except Conflict as error:  # locked: by a sweep for a moment, by a conductor that died for longer
                if attempt.remaining_s() < 2 * PAUSE_S:
                    raise Refused(f"{self._settings.device}: was locked all the time, no order was taken ({error})") from error
            threading.Event().wait(PAUSE_S)
        while not _is_settled(node := self._node(attempt)):
            threading.Event().wait(PAUSE_S)
        if _power(node) is not power:
            raise attempt.unanswered(f"ended in {node.get('power_state')!r} ({node.get('last_error') or 'no reason given'})")

    def _node(self, attempt: Attempt) -> Node:
        """The node as Ironic's database has it now, which is proven to be the configured one."""
        attempt.check()
        node = self._door().get(self._path, microversion=MICROVERSION)
        if not isinstance(node, dict) or "power_state" not in node:
            raise Refused(f"{self._settings.device}: this is no node of Ironic; correct 'node'")
        self._require_identity(node)
        if node.get("maintenance"):
            why = node.get("fault") or node.get("maintenance_reason") or "no reason given"
            raise Refused(f"{self._settings.device}: is in maintenance ({why}), so Ironic does not look at its power")
        return node

    def _require_identity(self, node: Node) -> None:
        s = self._settings
        for what, expected in (("uuid", s.uuid), ("instance_uuid", s.instance_uuid)):
            if expected and str(node.get(what)).lower() != expected:
                raise Refused(f"{s.device}: this node belongs to another machine ({what} {node.get(what)}, expected {expected})")


def _is_settled(node: Node) -> bool:
    """No action is under way: the conductor holds the node from before the order is accepted until its end."""
    return node.get("target_power_state") is None and node.get("reservation") is None


def _power(node: Node) -> Power:
    """Off is off only when the last action on the node ended well."""
    state = node.get("power_state")
    said = STATES.get(state, Power.OTHER) if isinstance(state, str) else Power.OTHER
    if said is Power.OFF and (not _is_settled(node) or node.get("last_error")):
        return Power.OTHER
    return said
