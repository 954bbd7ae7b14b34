"""How does systemd learn how we are? The sd_notify protocol: one datagram to the socket named in the environment."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from hanode.errors import Unreachable


class Systemd:
    """Silent when systemd did not start us (no NOTIFY_SOCKET)."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._path = environment.get("NOTIFY_SOCKET", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if mine else 0.0
        """How long systemd waits for `alive` before it kills us; 0: it does not wait."""

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}")

    def alive(self, status: str) -> None:
        """Only ever from the tick loop: a loop that is stuck must be killed, whatever other threads still do."""
        self._send("WATCHDOG=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self._send(f"STATUS={status}")

    def reloading(self) -> None:
        """To be followed by `ready`."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        self._send("STOPPING=1", f"STATUS={status}")

    def _send(self, *lines: str) -> None:
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto(text.encode(), address)
        except OSError as error:
            raise Unreachable(f"systemd's notification socket {self._path} does not take messages: {error}") from error
