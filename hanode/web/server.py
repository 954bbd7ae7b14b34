"""How are requests taken and answered? Each in a thread of its own, with limits, so that no reader can hold a tick up."""

from __future__ import annotations

import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hanode.web.door import Door
from hanode.web.site import Answer, Site

LOG = logging.getLogger(__name__)

CONNECTIONS = 32
"""More at once are closed unanswered: threads are cheap, not free."""

SILENCE_S = 10.0
CONNECTION_S = 30.0
"""However it trickles, no connection lasts longer."""

HEADERS = {
    # Only our own two files run on the page, and it may speak to nobody but us: a name that slips through stays text.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

OPEN = frozenset({"/healthz", "/readyz"})
"""Asked by load balancers, which have no password; they tell one sentence about this process and nothing of the cloud."""


class Web:
    """The web port. `site` and `door` may be replaced while it runs."""

    def __init__(self, door: Door | None = None) -> None:
        self.site = Site()
        self.door = door or Door()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def open(self, address: str, port: int) -> None:
        """Listen from now on; port 0 is off. Raises OSError when the address cannot be had."""
        if not port:
            return
        self._server = _Server(address, port, self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more; what is being answered may break off."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, port: int, web: Web) -> None:
        self.web = web
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._open: dict[socket.socket, float] = {}  # connection -> when it was made
        self._lock = threading.Lock()
        super().__init__((address, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._open) >= CONNECTIONS
            if not full:
                self._open[request] = time.monotonic()
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a handshake that never comes must not keep others out."""
        request.settimeout(SILENCE_S)
        door = self.web.door
        if door.tls is None:
            _Handler(request, client_address, self)
            return
        with door.tls.wrap_socket(request.dup(), server_side=True) as encrypted:
            _Handler(encrypted, client_address, self)

    def service_actions(self) -> None:
        """Called twice a second by the serving loop."""
        with self._lock:
            late = [request for request, since_s in self._open.items() if time.monotonic() - since_s > CONNECTION_S]
        for request in late:
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                LOG.debug("web: a connection had ended already: %s", error)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class has it
        LOG.debug("web: %s broke off", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "hanode"
    sys_version = ""

    def do_GET(self) -> None:
        self._send(self._answer(), with_body=True)

    def do_HEAD(self) -> None:
        self._send(self._answer(), with_body=False)

    def _answer(self) -> Answer:
        web, path = self.server.web, self.path.partition("?")[0]
        if path not in OPEN and not web.door.admits(self.headers.get("Authorization", "")):
            return Answer(401, "text/plain", b"a user of [web] password_file is asked for\n", {"WWW-Authenticate": 'Basic realm="hanode"'})
        return web.site.answer(self.path)

    def _send(self, answer: Answer, with_body: bool) -> None:
        self.send_response(answer.status)
        headers = {**HEADERS, **answer.headers, "Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        LOG.debug("web: %s %s", self.client_address[0], format % args)


