"""Does a simulated host answer a probe? One TCP listener per host, on the host's own loopback address.

A host that does not answer must be silent, not refusing: a refusal is a sign of life, for a living kernel sends it. So its
listener stays open and connections wait in the kernel's queue without an answer, as at a host whose power is gone.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterable, Mapping

BANNER = b"SSH-2.0-hanode-sim\r\n"
POLL_S = 0.05


class ProbeListeners:
    """All on the same port; `answering` may be set at any time and holds from the next connection on."""

    def __init__(self, addresses: Mapping[str, str], port: int = 0) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self.port = port
        self.answering: frozenset[str] = frozenset()
        self._stopped = threading.Event()
        try:
            for host, address in sorted(addresses.items()):
                self._sockets[host] = listener = socket.socket()
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, self.port))
                listener.listen(64)
                listener.setblocking(False)
                self.port = listener.getsockname()[1]  # the first one's port is then everybody's
        except OSError:
            self._close()
            raise
        self._thread = threading.Thread(target=self._serve, name="probes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._close()

    def _close(self) -> None:
        for listener in self._sockets.values():
            listener.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            served: frozenset[str] = frozenset()
            while not self._stopped.is_set():
                served = self._follow(selector, served)
                # An empty selector would return at once on some systems.
                if not served:
                    self._stopped.wait(POLL_S)
                    continue
                self._greet(key.data for key, _ in selector.select(POLL_S))

    def _follow(self, selector: selectors.BaseSelector, served: frozenset[str]) -> frozenset[str]:
        wanted = self.answering & self._sockets.keys()
        for host in served - wanted:
            selector.unregister(self._sockets[host])
        for host in wanted - served:
            selector.register(self._sockets[host], selectors.EVENT_READ, host)
        return wanted

    def _greet(self, hosts: Iterable[str]) -> None:
        for host in hosts:
            try:
                connection, _ = self._sockets[host].accept()
                with connection:
                    connection.sendall(BANNER)
            except OSError:
                continue  # the prober went away before it was greeted; that is its right
