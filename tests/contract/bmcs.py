"""What is a BMC to the tests, and how does one that speaks Redfish fail? On loopback, with the faults of real ones."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hanode.adapters.fencing.config import FencingConfig
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.fencing.secret import Secret
from hanode.adapters.fencing.settings import HostDevices, RedfishSettings, Settings

HOST = "cn1"
PASSWORD = "fifteen-letters"  # the simulator takes at most 16, and no spaces
UUID = "4c4c4544-0042-3510-8052-b4c04f4d4732"
STRANGER = "11111111-2222-3333-4444-555555555555"
SYSTEM = "/redfish/v1/Systems/1"
SESSIONS = "/redfish/v1/SessionService/Sessions"


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for something that must come; the limit only ends a test that has failed anyway."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"did not come true within {timeout_s} s"
        threading.Event().wait(0.02)


class Bmc(Protocol):
    """What the suite asks of a double. `settings` are the right ones for it."""

    settings: Settings

    def power(self) -> str: ...
    def orders(self) -> int: ...
    def change_password(self, password: str) -> None: ...
    def vanish(self) -> None: ...
    def lie(self) -> None: ...
    def hang_on_order(self) -> None: ...
    def stop(self) -> None: ...


def password_file(directory: Path, password: str = PASSWORD) -> Secret:
    file = directory / "password"
    file.write_text(password + "\n")
    file.chmod(0o600)
    return Secret(where="fencing.yaml: hosts.cn1.password_file", file=file)


def with_timeout(settings: Settings, timeout_s: float) -> Settings:
    return dataclasses.replace(settings, timeout_s=timeout_s)


def never() -> bool:
    return False


def devices(*settings: Settings) -> Devices:
    """Of each host one device."""
    return Devices(config(*settings))


def config(*settings: Settings) -> FencingConfig:
    return FencingConfig(hosts={each.host: HostDevices(((each,),)) for each in settings})


# --------------------------------------------------------------------------- Redfish


class RedfishBmc:
    """One ComputerSystem behind http or https. Faults are plain attributes."""

    def __init__(self, directory: Path, certificate: Path | None = None) -> None:
        self.state: object = "On"
        self.uuid = UUID.upper()
        self.serial = "ABC1234"
        self.password = PASSWORD
        self.target: str = f"{SYSTEM}/Actions/ComputerSystem.Reset"
        self.status: dict[str, int] = {}  # method -> what it answers whatever was asked
        self.location = ""
        self.hangs: set[str] = set()  # methods that are answered only when released
        self.trickles = False  # the answer comes byte by byte, and never ends
        self.lies = False
        self.requests: list[tuple[str, str]] = []
        self.logins: list[str] = []
        self.most_at_once = 0
        self.sessions = 0  # open now
        self.released = threading.Event()
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake belongs into the connection's own thread: a client that hangs up must not end the server.
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
            scheme = "https"
        self.settings: Settings = RedfishSettings(
            host=HOST, url=f"{scheme}://127.0.0.1:{self._server.server_port}", system=SYSTEM, username="hanode",
            secret=password_file(directory), ca_file=certificate, timeout_s=20.0)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def power(self) -> str:
        return str(self.state).lower()

    def orders(self) -> int:
        return sum(method == "POST" and path != SESSIONS for method, path in self.requests)

    def change_password(self, password: str) -> None:
        self.password = password

    def lie(self) -> None:
        self.lies = True

    def hang_on_order(self) -> None:
        self.hangs = {"POST"}

    def vanish(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def stop(self) -> None:
        self.released.set()
        self.vanish()

    # ---- called by the connections' threads

    def enter(self, method: str, path: str, login: str) -> None:
        with self._lock:
            self.requests.append((method, path))
            self.logins.append(login)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)

    def leave(self) -> None:
        with self._lock:
            self._at_once -= 1

    def answer(self, method: str, path: str, login: str, body: Any) -> tuple[int, object]:
        if path.startswith(SESSIONS):
            return self._session(method, body)
        if login != f"hanode:{self.password}":
            return 401, {"error": {"message": "Unauthorized"}}
        if method in self.status:
            return self.status[method], {"error": {"message": "as the test wants it"}}
        if method == "GET" and path == SYSTEM:
            return 200, {"PowerState": self.state, "UUID": self.uuid, "SerialNumber": self.serial,
                         "Actions": {"#ComputerSystem.Reset": {"target": self.target}}}
        if method == "POST" and path == self.target:
            if not self.lies:
                self.state = {"ForceOff": "Off", "On": "On"}[body["ResetType"]]
            return 204, None
        return 404, {"error": {"message": "no such resource"}}


    def _session(self, method: str, body: Any) -> tuple[int, object]:
        """Open or closed; the token that is given out is the login itself, as `Basic` would carry it."""
        self.sessions += {"POST": 1, "DELETE": -1}[method]
        if method == "POST" and body != {"UserName": "hanode", "Password": self.password}:
            self.sessions -= 1
            return 401, {"error": {"message": "Unauthorized"}}
        return {"POST": 201, "DELETE": 204}[method], None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up, or that does not trust the certificate, is part of the tests."""


def _handler(bmc: RedfishBmc) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def _serve(self, method: str) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told = self.headers.get("X-Auth-Token") or self.headers.get("Authorization", "").removeprefix("Basic ")
            login = base64.b64decode(told).decode()
            bmc.enter(method, self.path, login)
            if method in bmc.hangs and not self.path.startswith(SESSIONS):
                bmc.released.wait()
            answer = bmc.answer(method, self.path, login, json.loads(text) if text else None)
            # Before the reply is written: its reader may come back at once.
            bmc.leave()
            self._reply(*answer)

        def _reply(self, status: int, content: object) -> None:
            body = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if self.path == SESSIONS and status == 201:
                self.send_header("X-Auth-Token", base64.b64encode(f"hanode:{bmc.password}".encode()).decode())
                self.send_header("Location", bmc.location or f"{SESSIONS}/1")
            elif bmc.location:
                self.send_header("Location", bmc.location)
            self.end_headers()
            while bmc.trickles and not bmc.released.wait(0.05):
                self.wfile.write(b" ")
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


def self_signed(directory: Path) -> Path:
    """Key and certificate for 127.0.0.1 in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256()))
    file = directory / "bmc.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM))
    return file
