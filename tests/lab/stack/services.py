"""Which services make up the cloud, in which order do they start, and when is each ready?

One table; hosts are not in it (see power.py and bmc.py), except for their BMCs.
"""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .layout import ETCD_MEMBERS, REPOSITORY, Host, Lab
from .processes import Processes, StartFailed, own_environment

HERE = Path(__file__).parent
RABBIT = "/usr/lib/rabbitmq/bin"
READY_TIMEOUT_S = 300


@dataclass(frozen=True)
class Service:
    """How one service is started, and how we know that it works."""

    name: str
    argv: list[str]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None

    def start(self, lab: Lab) -> None:
        Processes(lab).start(self.name, self.argv, self.env, self.cwd or lab.directory)

    def wait(self, lab: Lab) -> None:
        Processes(lab).wait_ready(self.name, self.ready, READY_TIMEOUT_S)


def listens(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    return ready


def answers(url: str) -> Callable[[], bool]:
    """Any answer of the application will do, a refusal too; a server without application answers 500."""

    def ready() -> bool:
        try:
            urllib.request.urlopen(url, timeout=20).close()
        except urllib.error.HTTPError as error:
            return error.code < 500
        except (OSError, ValueError):
            return False
        return True

    return ready


def mariadb(lab: Lab) -> Service:
    data = lab.path("mysql")
    argv = [
        *("/usr/sbin/mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}"),
        *(f"--socket={lab.database_socket}", f"--pid-file={data}/mysqld.pid", "--skip-networking"),
        *("--max-connections=1000", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=192M"),
        "--skip-log-bin",
    ]
    ping = ["mariadb-admin", "--no-defaults", f"--socket={lab.database_socket}", "ping"]
    return Service("mariadb", argv, lambda: subprocess.run(ping, capture_output=True).returncode == 0)


def epmd(lab: Lab) -> Service:
    port = lab.port("epmd")
    return Service("epmd", ["epmd", "-address", "127.0.0.1", "-port", str(port)], listens(port))


def rabbit_environment(lab: Lab) -> dict[str, str]:
    home = lab.path("rabbit")
    return {
        "HOME": str(home),
        "RABBITMQ_NODENAME": "hanodelab@localhost",
        "RABBITMQ_CONFIG_FILE": str(lab.path("etc", "rabbit", "rabbitmq.conf")),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(lab.path("etc", "rabbit", "enabled_plugins")),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(lab.path("log")),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_DIST_PORT": str(lab.port("rabbit-dist")),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "ERL_EPMD_PORT": str(lab.port("epmd")),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # Erlang's schedulers spin while they wait, which two cores cannot spare.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
        ),
    }


def rabbit(lab: Lab) -> Service:
    env = rabbit_environment(lab)
    # Run directly: the wrapper in the PATH changes user and leaves the broker behind when it is killed.
    return Service("rabbit", [f"{RABBIT}/rabbitmq-server"], listens(lab.port("rabbit")), env)


def etcd(lab: Lab, number: int) -> Service:
    name = f"etcd{number}"
    client = f"http://127.0.0.1:{lab.port('etcd-client', number)}"
    peers = {f"etcd{n}": f"http://127.0.0.1:{lab.port('etcd-peer', n)}" for n in range(1, ETCD_MEMBERS + 1)}
    argv = [
        *("etcd", "--name", name, "--data-dir", str(lab.path("etcd", name)), "--log-level", "warn"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name]),
        *("--initial-cluster", ",".join(f"{n}={url}" for n, url in peers.items())),
        *("--initial-cluster-state", "new", "--initial-cluster-token", "hanode-lab"),
        # A busy machine must not cost elections.
        *("--heartbeat-interval", "250", "--election-timeout", "2500"),
    ]
    return Service(name, argv, answers(f"{client}/health"))


def wsgi(lab: Lab, name: str, application: str, workers: int, env: Mapping[str, str]) -> Service:
    argv = [str(lab.python), str(HERE / "wsgi.py"), application, str(lab.port(name)), str(workers), "12"]
    return Service(name, argv, answers(lab.url(name, "/")), env)


def keystone(lab: Lab) -> Service:
    env = {"OS_KEYSTONE_CONFIG_FILES": str(lab.path("etc", "keystone", "keystone.conf"))}
    return wsgi(lab, "keystone", "keystone.wsgi.api:application", 2, env)


def placement(lab: Lab) -> Service:
    env = {"OS_PLACEMENT_CONFIG_DIR": str(lab.path("etc", "placement"))}
    return wsgi(lab, "placement", "placement.wsgi.api:application", 1, env)


def glance(lab: Lab) -> Service:
    env = {"OS_GLANCE_CONFIG_DIR": str(lab.path("etc", "glance"))}
    return wsgi(lab, "glance", "glance.common.wsgi_app:init_app()", 1, env)


def nova_api(lab: Lab) -> Service:
    files = "api-paste.ini;nova.conf;database.conf"
    env = {"OS_NOVA_CONFIG_DIR": str(lab.path("etc", "nova")), "OS_NOVA_CONFIG_FILES": files}
    return wsgi(lab, "nova-api", "nova.wsgi.osapi_compute:application", 2, env)


def network(lab: Lab) -> Service:
    argv = [str(lab.python), "-I", "-S", str(HERE / "netstub.py"), str(lab.port("network"))]
    return Service("network", argv, listens(lab.port("network")))


def silence(lab: Lab) -> Service:
    port = lab.hosts[0].banner_port
    argv = [str(lab.python), "-I", "-S", str(HERE / "silence.py"), str(port)]
    return Service("silence", argv, listens(port))


def control_plane_config(lab: Lab) -> list[str]:
    files = [lab.path("etc", "nova", name) for name in ("nova.conf", "database.conf")]
    return [word for file in files for word in ("--config-file", str(file))]


def nova_daemon(lab: Lab, name: str) -> Service:
    argv = [lab.tool(name), *control_plane_config(lab)]
    # It is ready when Nova says that it is up, which the last step of `up` waits for.
    return Service(name, argv, lambda: True)


def bmc(lab: Lab, host: Host) -> Service:
    argv = [str(lab.python), "-m", "tests.lab.stack.bmc", host.name]
    env = {"HANODE_LAB_DIR": str(lab.directory)}

    def ready() -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(os.fspath(host.control_socket)) == 0

    return Service(f"bmc-{host.name}", argv, ready, env, REPOSITORY)


def catalogue(lab: Lab) -> dict[str, Service]:
    """Every service by name, in the order of their start."""
    services = [
        mariadb(lab),
        epmd(lab),
        rabbit(lab),
        *(etcd(lab, n) for n in range(1, ETCD_MEMBERS + 1)),
        keystone(lab),
        placement(lab),
        glance(lab),
        network(lab),
        nova_api(lab),
        nova_daemon(lab, "nova-conductor"),
        nova_daemon(lab, "nova-scheduler"),
        silence(lab),
        *(bmc(lab, host) for host in lab.hosts),
    ]
    return {service.name: service for service in services}


def run(lab: Lab, argv: list[str], env: Mapping[str, str] | None = None) -> str:
    """A command that must succeed; what it printed is in the log `setup`."""
    done = subprocess.run(argv, env=own_environment(lab, env or {}), cwd=lab.directory, capture_output=True, text=True)
    lab.path("log").mkdir(parents=True, exist_ok=True)
    with lab.log("setup").open("a") as log:
        print("$", *argv, done.stdout, done.stderr, sep="\n", file=log)
    if done.returncode:
        raise StartFailed(f"{' '.join(argv)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
