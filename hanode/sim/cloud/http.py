"""How does a request become an answer? A small HTTP/1.1 server with routes, that can also refuse, cut and keep silent.

Nothing here knows what is served. A server can be closed and opened again on its port, so that "nova-api is down" is a
refused connection, as in life.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: Any  # parsed JSON: whoever uses it must expect any shape


@dataclass(frozen=True)
class Response:
    status: int = 200
    body: Any = None  # sent as JSON; None sends nothing
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpError(Exception):
    """Answer with this instead."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class CutConnection(Exception):
    """End the connection without a word."""


class NeverAnswer(Exception):
    """Keep the connection and say nothing, as long as the server runs."""


Action = Callable[..., Response]  # (request, *the groups of the route's pattern)


@dataclass(frozen=True)
class Route:
    method: str
    pattern: str  # whole path; groups become arguments
    action: Action


def find(routes: tuple[Route, ...], request: Request) -> Response:
    for route in routes:
        match = re.fullmatch(route.pattern, request.path)
        if match and route.method == request.method:
            return route.action(request, *(unquote(group) for group in match.groups()))
    raise HttpError(Response(404, {"itemNotFound": {"code": 404, "message": f"Nothing at {request.path}"}}))


class HttpServer:
    """Serves `answer` on one address. `is_open` follows `open` and `close`; the port stays the same."""

    def __init__(self, answer: Callable[[Request], Response], address: str = "127.0.0.1", port: int = 0) -> None:
        self._answer = answer
        self._stopped = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread = threading.Thread()
        self._address = (address, port)
        self.open()

    @property
    def url(self) -> str:
        return f"http://{self._address[0]}:{self._address[1]}"

    @property
    def is_open(self) -> bool:
        return self._server is not None

    def open(self) -> None:
        if self._server is not None:
            return
        server = _Server(self._address, self._handler())
        self._address = (self._address[0], server.server_address[1])
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True,
                                        name=f"http {self._address[1]}")
        self._thread.start()
        self._server = server

    def close(self) -> None:
        """Refuse new connections, and cut those that clients keep open."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = None
        with self._lock:
            for connection in self._connections:
                # Its handler may have closed it just now, and then there is nothing to cut.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._stopped.set()
        self.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with outer._lock:
                    outer._connections.add(self.connection)

            def finish(self) -> None:
                with outer._lock:
                    outer._connections.discard(self.connection)
                super().finish()

            def log_message(self, *_: object) -> None:
                return

            def do_GET(self) -> None:
                outer._serve(self)

            do_POST = do_PUT = do_DELETE = do_GET

        return Handler

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        try:
            response = self._respond(handler)
        except CutConnection:
            handler.close_connection = True
            return
        except NeverAnswer:
            self._stopped.wait()
            handler.close_connection = True
            return
        data = b"" if response.body is None else json.dumps(response.body).encode()
        handler.send_response(response.status)
        for name, value in response.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _respond(self, handler: BaseHTTPRequestHandler) -> Response:
        split = urlsplit(handler.path)
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw) if raw else None
            return self._answer(Request(
                method=handler.command, path=split.path.rstrip("/") or "/",
                query={name: values[-1] for name, values in parse_qs(split.query, keep_blank_values=True).items()},
                headers={name.lower(): value for name, value in handler.headers.items()}, body=body))
        except json.JSONDecodeError:
            return Response(400, {"badRequest": {"code": 400, "message": "The body is not JSON"}})
        except HttpError as error:
            return error.response


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle of an answer is its own business; anything else is a bug and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # typeshed's private alias of the same
