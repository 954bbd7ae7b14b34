"""How does work go on inside a nova-compute process that may die, freeze or lose its messages at any step?

A piece of work is a generator: it yields a `Pause` before each step. It dies silently with its process, stands still
while the process, the host or the storage it needs is frozen, and before a step that reports to the database also while
messages do not flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanode.sim.world.hosts import ComputeHost, Hosts


@dataclass(frozen=True)
class Pause:
    """So long does it take until the next step; `talks` when that step needs the database (through RabbitMQ)."""

    delay_s: float = 0.0
    talks: bool = True
    needs: tuple[str, ...] = ()  # storage domains that the step waits for


class Work:
    def __init__(self, hosts: Hosts, host: ComputeHost, steps: Iterator[Pause], label: str) -> None:
        self._hosts = hosts
        self._host = host
        self._process = host.process
        self._steps = steps
        self._label = label
        self._pause = Pause()

    def step(self) -> None:
        """Run to the next pause."""
        pause = next(self._steps, None)
        if pause is not None:
            self._pause = pause
            self._hosts.world.after(pause.delay_s, self.resume, self._label)

    def resume(self) -> None:
        if self._host.process != self._process:
            return  # its process died: nobody goes on with it, and nobody cleans up after it
        if self._ready():
            self.step()
        else:
            self._host.paused.append(self.resume)

    def _ready(self) -> bool:
        if self._hosts.world.storage.hangs(self._pause.needs):
            return False
        return self._hosts.talks(self._host.name) if self._pause.talks else self._host.agent_runs
