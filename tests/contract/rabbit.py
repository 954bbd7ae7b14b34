"""How is a real RabbitMQ started on loopback, for a test alone? With home, name, ports and epmd of its own; nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from hanode.sim.etcd import free_ports, wait_until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Run directly: the wrapper in the PATH changes user, and leaves the broker behind when it is killed."""

USER, PASSWORD = "hanode", "verysecret"
START_LIMIT_S = 120.0


def is_installed() -> bool:
    return SERVER.exists() and shutil.which("epmd") is not None


class Rabbit:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port, self._dist, self._epmd_port = free_ports(3)
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def url(self, password: str = PASSWORD) -> str:
        return f"rabbit://{USER}:{password}@127.0.0.1:{self.port}/"

    def __enter__(self) -> Rabbit:
        (self._directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\ndefault_user = {USER}\ndefault_pass = {PASSWORD}\n"
            "disk_free_limit.absolute = 1MB\nlog.console = true\nlog.file = false\n"
        )
        (self._directory / "enabled_plugins").write_text("[].\n")
        self._epmd = self._run(["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)])
        try:
            wait_until(lambda: _listens(self._epmd_port), START_LIMIT_S, "epmd listening")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._epmd is not None:
            _end(self._epmd)

    def start(self) -> None:
        self._server = self._run([str(SERVER)])
        wait_until(lambda: _listens(self.port), START_LIMIT_S, "RabbitMQ listening")

    def stop(self) -> None:
        """As by a power cut. The whole group: the script has Erlang's machine beside it."""
        if self._server is not None:
            _end(self._server)
            self._server = None

    def _run(self, argv: list[str]) -> subprocess.Popen[bytes]:
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(argv, env=self._environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def _environment(self) -> dict[str, str]:
        home = self._directory
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"hanode{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Erlang's schedulers spin while they wait, which a small machine cannot spare.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
                                                   " -kernel inet_dist_use_interface {127,0,0,1}",
        }


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
