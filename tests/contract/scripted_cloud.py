"""What does a cloud that misbehaves on purpose look like? A loopback server that answers as a test scripts it.

Keystone always works unless scripted otherwise; every request is recorded, so that a test can count what was sent.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hanode.adapters.keystone import Credentials

COMPUTE = "/compute/v2.1"
ACTION = f"{COMPUTE}/servers/i1/action"
TOKENS = "/identity/v3/auth/tokens"
SERVICES = f"{COMPUTE}/os-services"
SERVERS = f"{COMPUTE}/servers/detail"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def microversion(self) -> str:
        return self.headers.get("openstack-api-version", "")


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None  # sent instead of JSON


class Fault(Enum):
    HANG = "take the request and say nothing until the server stops"
    RESET = "take the request, then cut the connection"


Answer = Reply | Fault
Script = Answer | Callable[[Request], Answer]


class ScriptedCloud:
    def __init__(self, region: str = "R1", services: tuple[str, ...] = ("compute", "placement", "image")) -> None:
        self.requests: list[Request] = []
        self.tokens_issued = 0
        self._region, self._services = region, services
        self._scripts: dict[tuple[str, str], list[Script]] = {}
        self._stopped = threading.Event()
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                return

            def do_GET(self) -> None:
                cloud._serve(self)

            do_POST = do_PUT = do_DELETE = do_GET

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def credentials(self, **changes: Any) -> Credentials:
        given: dict[str, Any] = {"auth_url": f"{self.url}/identity/v3", "username": "hanode", "password": "secret",
                                 "project": "service", "region": self._region, "interface": "public", "timeout_s": 20.0}
        return Credentials(**(given | changes))

    def script(self, method: str, path: str, *answers: Script) -> None:
        """Answers in turn; the last one stays."""
        self._scripts[method, path] = list(answers)

    def sent(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if (r.method, r.path) == (method, path)]

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        raw = handler.rfile.read(length)
        split = urlsplit(handler.path)
        request = Request(handler.command, split.path, {k: v[0] for k, v in parse_qs(split.query).items()},
                          {k.lower(): v for k, v in handler.headers.items()}, json.loads(raw) if raw else None)
        self.requests.append(request)
        answer = self._answer(request)
        if answer is Fault.HANG:
            self._stopped.wait()
        elif answer is Fault.RESET:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if isinstance(answer, Reply):
            _send(handler, answer)
        else:
            handler.close_connection = True

    def _answer(self, request: Request) -> Answer:
        scripts = self._scripts.get((request.method, request.path))
        if scripts:
            script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
            return script if isinstance(script, Reply | Fault) else script(request)
        if request.path == "/identity/v3/auth/tokens":
            self.tokens_issued += 1
            return Reply(201, {"token": self.token()}, {"X-Subject-Token": f"token-{self.tokens_issued}"})
        if request.path.rstrip("/") == "/identity/v3":
            return Reply(200, {"version": {"id": "v3.14", "status": "stable", "links": [
                {"rel": "self", "href": f"{self.url}/identity/v3/"}], "media-types": []}})
        return Reply(404, {"itemNotFound": {"code": 404, "message": f"nothing at {request.path}"}})

    def token(self) -> dict[str, Any]:
        def entry(name: str) -> dict[str, Any]:
            path = {"compute": "/compute/v2.1"}.get(name, f"/{name}")
            return {"type": name, "id": name, "name": name, "endpoints": [
                {"id": f"{name}-{interface}", "interface": interface, "region": self._region, "region_id": self._region,
                 "url": self.url + path} for interface in ("public", "internal")]}

        return {"methods": ["password"], "expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2020-01-01T00:00:00.000000Z",
                "user": {"id": "u1", "name": "hanode", "domain": {"id": "default", "name": "Default"}},
                "project": {"id": "p1", "name": "service", "domain": {"id": "default", "name": "Default"}},
                "roles": [{"id": "r1", "name": "admin"}], "catalog": [entry(name) for name in self._services]}


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    data = (json.dumps(reply.body) if reply.text is None else reply.text).encode()
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Type", "application/json" if reply.text is None else "text/html")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


# --------------------------------------------------------------------------- what tests send and expect


def service_row(host: str, **changes: Any) -> dict[str, Any]:
    return {"id": f"s-{host}", "binary": "nova-compute", "host": host, "state": "up", "status": "enabled", "zone": "nova",
            "disabled_reason": None, "forced_down": False, "updated_at": "2026-01-01T00:00:00.000000"} | changes


def server_row(server_id: str, host: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": server_id, "name": server_id, "OS-EXT-SRV-ATTR:host": host, "OS-EXT-STS:vm_state": "active",
        "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": 1, "locked": False, "locked_reason": None,
        "tenant_id": "p", "image": {"id": "img"}, "metadata": {}, "addresses": {}, "OS-EXT-AZ:availability_zone": "nova",
        "flavor": {"vcpus": 1, "ram": 512, "disk": 1, "ephemeral": 0, "swap": 0, "original_name": "tiny"},
    } | changes


def migration_row(number: int) -> dict[str, Any]:
    return {"id": number, "uuid": f"m{number}", "instance_uuid": "i1", "migration_type": "evacuation", "status": "done",
            "source_compute": "h1", "dest_compute": None, "created_at": "2026-01-01T00:00:00.000000"}


def refusing_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clouds_yaml(scripted: ScriptedCloud, extra: str = "") -> str:
    return f"""
clouds:
  prod:
      auth: {{auth_url: "{scripted.url}/identity/v3", username: hanode, password: secret, project_name: service,
              user_domain_name: Default, project_domain_name: Default}}
      region_name: R1
      interface: public
{extra}"""
