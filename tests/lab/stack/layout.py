"""Where does everything in the lab live, and on which address does it listen?

Nothing here touches the machine: it is arithmetic over one state directory, one base port and a
number of hosts, so that the command, the services and the tests agree without asking each other.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT_DIRECTORY = "/var/tmp/hanode-lab"
DEFAULT_HOSTS = 6
DEFAULT_BASE_PORT = 18000

# Everything listens on loopback and is thrown away afterwards: one well-known secret is enough.
SECRET = "lab"
REGION = "lab"
IPMI_USER = "admin"
# Name of the user as whom hanode watches the lab, and of its only role: it may do what hanode does, and nothing else.
HANODE = "hanode"
IPMI_CIPHER = 3

# Offsets from the base port. Those of the etcd members and of the BMCs are followed by their number.
PORTS = {
    "keystone": 0,
    "placement": 1,
    "glance": 2,
    "network": 3,
    "nova-api": 4,
    "rabbit": 5,
    "rabbit-dist": 6,
    "epmd": 7,
    "etcd-client": 20,
    "etcd-peer": 30,
    "bmc": 100,
}
ETCD_MEMBERS = 3

# Every process of the lab carries this variable with the lab's directory: `down` finds by it what no
# record names any more, and `up` tells by it our services from somebody else's.
MARK = "HANODE_LAB_PROCESS"


@dataclass(frozen=True)
class Host:
    """One hypervisor: its files, addresses and storage domain."""

    name: str
    number: int
    domain: str
    lab_directory: Path
    base_port: int
    banner_port: int = 2222

    @property
    def directory(self) -> Path:
        return self.lab_directory / "hosts" / self.name

    @property
    def config(self) -> Path:
        return self.directory / "nova-compute.conf"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def instances(self) -> Path:
        """Where nova-compute keeps its disks: a link to the storage domain, or to what is under the mount."""
        return self.state / "instances"

    @property
    def local_instances(self) -> Path:
        """What the host sees in place of the share when it is not mounted: its own, empty disk."""
        return self.state / "instances.local"

    @property
    def storage(self) -> Path:
        return self.lab_directory / "domains" / self.domain

    @property
    def group_file(self) -> Path:
        """Names the process group that the power switch kills."""
        return self.directory / "group.json"

    @property
    def compute_pid_file(self) -> Path:
        return self.directory / "nova-compute.pid"

    @property
    def spawn_faults(self) -> Path:
        return self.state / "faults.json"

    @property
    def control_socket(self) -> Path:
        return self.directory / "bmc.sock"

    @property
    def log(self) -> Path:
        return self.lab_directory / "log" / f"nova-compute-{self.name}.log"

    @property
    def host_ip(self) -> str:
        return f"127.0.1.{self.number}"

    @property
    def bmc_address(self) -> str:
        return "127.0.0.1"

    @property
    def bmc_port(self) -> int:
        return self.base_port + PORTS["bmc"] + self.number

    @property
    def system_uuid(self) -> uuid.UUID:
        """What the BMC answers when asked whose BMC it is (`ipmitool mc guid`)."""
        return uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.hanode-lab")

    def describe(self) -> dict[str, object]:
        return {
            "number": self.number,
            "domain": self.domain,
            "host_ip": self.host_ip,
            "banner_port": self.banner_port,
            "state_path": str(self.state),
            "instances": str(self.instances),
            "local_instances": str(self.local_instances),
            "storage": str(self.storage),
            "group_file": str(self.group_file),
            "control_socket": str(self.control_socket),
            "spawn_faults": str(self.spawn_faults),
            "log": str(self.log),
            "system_uuid": str(self.system_uuid),
            "ipmi": {
                "address": self.bmc_address,
                "port": self.bmc_port,
                "user": IPMI_USER,
                "password": SECRET,
                "cipher": IPMI_CIPHER,
            },
        }


@dataclass(frozen=True)
class Lab:
    """The whole lab, as far as names, paths and ports go."""

    directory: Path
    host_count: int = DEFAULT_HOSTS
    base_port: int = DEFAULT_BASE_PORT

    @classmethod
    def from_environment(cls) -> Lab:
        """The lab that HANODE_LAB_DIR names: as it was brought up, or as it would be."""
        directory = Path(os.environ.get("HANODE_LAB_DIR", DEFAULT_DIRECTORY)).absolute()
        try:
            recorded = json.loads((directory / "layout.json").read_text())
        except FileNotFoundError:
            return cls(
                directory,
                int(os.environ.get("HANODE_LAB_HOSTS", DEFAULT_HOSTS)),
                int(os.environ.get("HANODE_LAB_BASE_PORT", DEFAULT_BASE_PORT)),
            )
        return cls(directory, recorded["host_count"], recorded["base_port"])

    def record(self) -> None:
        text = json.dumps({"host_count": self.host_count, "base_port": self.base_port})
        (self.directory / "layout.json").write_text(text)

    @property
    def hosts(self) -> list[Host]:
        """The last third of the hosts is in domain B, the others in A: cn1..cn4 and cn5, cn6 of six."""
        first_in_b = self.host_count - self.host_count // 3 + 1
        return [Host(f"cn{n}", n, "B" if n >= first_in_b else "A", self.directory, self.base_port) for n in range(1, self.host_count + 1)]

    def host(self, name: str) -> Host:
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(f"the lab has no host {name!r}")

    @property
    def domains(self) -> list[str]:
        return sorted({host.domain for host in self.hosts})

    def domain_directory(self, domain: str) -> Path:
        return self.directory / "domains" / domain

    def path(self, *parts: str) -> Path:
        return self.directory.joinpath(*parts)

    def log(self, name: str) -> Path:
        return self.path("log", f"{name}.log")

    @property
    def python(self) -> Path:
        return self.path("venv", "bin", "python")

    def tool(self, name: str) -> str:
        return str(self.path("venv", "bin", name))

    def port(self, name: str, number: int = 0) -> int:
        return self.base_port + PORTS[name] + number

    @property
    def tcp_ports(self) -> dict[str, int]:
        """Every port that the lab's services listen on, by the service that does."""
        numbered = {"etcd-client": range(1, ETCD_MEMBERS + 1), "etcd-peer": range(1, ETCD_MEMBERS + 1), "bmc": range(0)}
        return {f"{name}{number or ''}": self.port(name, number) for name in PORTS for number in numbered.get(name, (0,))}

    def url(self, name: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port(name)}{path}"

    @property
    def auth_url(self) -> str:
        return self.url("keystone", "/v3")

    @property
    def etcd_endpoints(self) -> list[str]:
        return [f"http://127.0.0.1:{self.port('etcd-client', n)}" for n in range(1, ETCD_MEMBERS + 1)]

    @property
    def database_socket(self) -> Path:
        return self.path("mysql", "mysqld.sock")

    def database_url(self, name: str) -> str:
        return f"mysql+pymysql://lab:{SECRET}@localhost/{name}?unix_socket={self.database_socket}"

    @property
    def broker_url(self) -> str:
        return f"rabbit://lab:{SECRET}@127.0.0.1:{self.port('rabbit')}/"
