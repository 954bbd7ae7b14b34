"""What is known of one power device, once and for all? One frozen value for each driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hanode.adapters.fencing.secret import Secret

TIMEOUT_S = 10.0
PROGRAM_TIMEOUT_S = 60.0
"""Programs of others look twice and wait in between; Pacemaker gives them as long."""

WHICH_PLUG = ("ip", "ipport", "plug", "systems_uri", "uuid", "managed")
"""Options of fence agents that tell one device from another; an agent without `ip` is told apart by all of its options."""


@dataclass(frozen=True)
class IpmiSettings:
    host: str
    address: str
    username: str
    secret: Secret
    port: int = 623
    cipher: int = 17
    privilege: str = "OPERATOR"
    uuid: str = ""
    timeout_s: float = TIMEOUT_S
    tries: int = 1
    outlet: bool = False

    @property
    def device(self) -> str:
        """The one device behind these settings: two hosts must not share it."""
        return f"ipmi {self.address.lower()} port {self.port}"

    @property
    def line(self) -> str:
        """What only one command at a time may be sent to."""
        return self.device


@dataclass(frozen=True)
class RedfishSettings:
    host: str
    url: str
    system: str
    username: str
    secret: Secret
    ca_file: Path | None = None
    verify: bool = True
    session: bool = False
    uuid: str = ""
    serial: str = ""
    timeout_s: float = TIMEOUT_S
    tries: int = 1
    outlet: bool = False

    @property
    def device(self) -> str:
        """The one device behind these settings: two hosts must not share it."""
        return f"redfish {self.url}{self.system}"

    @property
    def line(self) -> str:
        """Several systems may stand behind one manager, which has few sessions."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True)
class AgentSettings:
    """A program of fence-agents and what it is given on its standard input, apart from action and password."""

    host: str
    agent: Path
    options: Mapping[str, str] = field(default_factory=dict)
    secret: Secret | None = None
    password_option: str = "password"
    timeout_s: float = PROGRAM_TIMEOUT_S
    tries: int = 1
    outlet: bool = False

    @property
    def device(self) -> str:
        """The one outlet behind these settings, whichever agent reaches it: two hosts must not share it."""
        which = {key: self.options[key] for key in WHICH_PLUG if key in self.options} if self._address else dict(self.options)
        told = " ".join(f"{key} {value}" for key, value in sorted(which.items()))
        return f"agent {told.lower()}" if self._address else f"agent {self.agent.name} {told}".rstrip()

    @property
    def line(self) -> str:
        """Many outlets stand behind one power strip."""
        return self._address.lower() or self.device

    @property
    def _address(self) -> str:
        return self.options.get("ip", "")


@dataclass(frozen=True)
class CommandSettings:
    """A program of the operator's; `argv` with {action} still in it."""

    host: str
    argv: tuple[str, ...]
    secret: Secret | None = None
    timeout_s: float = PROGRAM_TIMEOUT_S
    tries: int = 1
    outlet: bool = False

    @property
    def device(self) -> str:
        """The one device behind these settings: two hosts must not share it."""
        return f"command {' '.join(self.argv)}"

    @property
    def line(self) -> str:
        """What a foreign program does at the same time only its author knows: one at a time for each host."""
        return self.device


@dataclass(frozen=True)
class IronicSettings:
    """A node of Ironic, asked as the user of group [keystone]."""

    host: str
    node: str  # uuid or name
    uuid: str = ""
    instance_uuid: str = ""
    secret: Secret | None = None  # it has none of its own
    timeout_s: float = PROGRAM_TIMEOUT_S
    tries: int = 1
    outlet: bool = False

    @property
    def device(self) -> str:
        """The one device behind these settings: two hosts must not share it."""
        return f"ironic {self.node.lower()}"

    @property
    def line(self) -> str:
        return self.device


Settings = IpmiSettings | RedfishSettings | AgentSettings | CommandSettings | IronicSettings


@dataclass(frozen=True)
class HostDevices:
    """The power devices of one host: levels in the order in which they are tried; all devices of a level act together."""

    levels: tuple[tuple[Settings, ...], ...] = ()
    by_hand: str = ""  # what a person is told to do, after or instead of all levels
    template: str = ""  # from which the host's devices were made

    @property
    def all(self) -> tuple[Settings, ...]:
        return tuple(settings for level in self.levels for settings in level)
