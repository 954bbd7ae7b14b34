"""Does a host itself answer, from here, whatever Nova says of it?

Any living signal forbids shooting, so every doubt is resolved towards "lives" or "we could not look":
- An answer of any kind from the host's own address counts, also a refusal: a TCP reset or an ICMP error is sent by a
  living kernel. So does an end of the connection without the banner, which only a living program brings about.
- A router that says "no such network", a firewall of ours, a missing route: we could not look.
- A program of the operator's that ends with 0 vouches for the host, one that ends with 1 heard nothing; any other end means
  that it could not look.
- Nobody answers, or the last router says that the host does not answer it: silence. With a banner configured, a
  connection that brings none in time, or another one, is silence too: a hung kernel still accepts connections.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from hanode.adapters.fencing import process
from hanode.adapters.fencing.attempt import Attempt
from hanode.adapters.kdump import Listener
from hanode.core.addresses import is_address
from hanode.core.signals import KDUMP
from hanode.errors import ConfigError, HanodeError, Unreachable

# Beyond the time that ping itself waits: a ping that is later than this never looked.
PING_SLACK_S = 2.0
ICMP_ERROR = re.compile(r"^From (\S+?):? icmp_seq=\d+ (.+)$", re.MULTILINE)
SEND_ERROR = re.compile(r"^ping: sendmsg: (.+)$", re.MULTILINE)
HOST_SILENT = re.compile(r"Host Unreachable|Address unreachable|No route to host")
ALIVE = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})
SILENT = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH})  # EHOSTUNREACH: nobody answers for this address on its own network


@dataclass(frozen=True)
class ProbeSettings:
    kind: str = "icmp"  # icmp | tcp
    port: int = 22
    banner: str = ""  # what the service says first, as "SSH-2.0"
    timeout_s: float = 2.0
    addresses: Mapping[str, str] = field(default_factory=dict)  # host -> address to probe instead of the one that follows from host_ip
    within: str = ""  # "10.20.0.0/16": there a host has the last bits of its host_ip; "": host_ip itself


@dataclass(frozen=True)
class CommandSettings:
    argv: tuple[str, ...]  # {host} and {address} stand for the host's name and its host_ip
    timeout_s: float = 10.0


class Probes:
    """One way of asking for each network, by its name; and, where somebody listens, what crashing kernels say (`KDUMP`)."""

    def __init__(
        self, networks: Mapping[str, ProbeSettings | CommandSettings], crashes: Listener | None = None, serves_timeout_s: float = 5.0,
    ) -> None:
        self._serves_timeout_s = serves_timeout_s
        self._ways = {name: _way(name, settings) for name, settings in networks.items()}
        self._asked = [settings for settings in networks.values() if isinstance(settings, ProbeSettings)]
        if crashes is not None:
            self._ways[KDUMP] = lambda host, host_ip: crashes.says_crash(self._addresses(host, host_ip))

    def serves(self, address: str, port: int) -> bool:
        return takes_connections(address, port, self._serves_timeout_s)

    def answers(self, host: str, host_ip: str, network: str) -> bool:
        if network not in self._ways:
            raise Unreachable(f"probe of {host}: no network {network} is configured here")
        return self._ways[network](host, host_ip)


    def _addresses(self, host: str, host_ip: str) -> Iterator[str]:
        """From where its kernel may speak: it sends over whichever network its crash kernel has brought up."""
        for settings in (ProbeSettings(), *self._asked):
            with suppress(Unreachable):  # it has no address there, and cannot speak from there
                yield address_of(host, host_ip, settings)


def _way(name: str, settings: ProbeSettings | CommandSettings) -> Callable[[str, str], bool]:
    if isinstance(settings, CommandSettings):
        return lambda host, host_ip: ask_program(settings, host, host_ip)
    kinds: Mapping[str, Callable[[str, ProbeSettings], bool]] = {"icmp": ping, "tcp": connect}
    if settings.kind not in kinds:
        raise ConfigError(f"probe over {name}: unknown kind {settings.kind!r}; write icmp or tcp")
    look = kinds[settings.kind]
    # Only addresses: a name would have to be resolved just when the network is failing.
    for host, address in settings.addresses.items():
        if not is_address(address):
            raise ConfigError(f"probe over {name}: the address of {host} must be an IP address, not {address!r}")
    return lambda host, host_ip: look(address_of(host, host_ip, settings), settings)


def address_of(host: str, host_ip: str, settings: ProbeSettings) -> str:
    """Where a host is asked; raises Unreachable when that is not known."""
    if host in settings.addresses:
        return settings.addresses[host]
    if not is_address(host_ip):
        raise Unreachable(f"probe of {host}: no IP address is known ({host_ip!r})")
    if not settings.within:
        return host_ip
    known, network = ipaddress.ip_address(host_ip), ipaddress.ip_network(settings.within)
    if known.version != network.version:
        raise Unreachable(f"probe of {host}: {host_ip} has no counterpart in {network}: give its address there")
    return str(network.network_address + (int(known) & int(network.hostmask)))


# --------------------------------------------------------------------------- a program

VOUCHES, HEARD_NOTHING = 0, 1


def ask_program(settings: CommandSettings, host: str, host_ip: str) -> bool:
    """Its exit code is its answer. It is killed with its children when its time is up."""
    argv = [word.replace("{host}", host).replace("{address}", host_ip) for word in settings.argv]
    try:
        ended = process.run(argv, Attempt(f"probe of {host}", settings.timeout_s, lambda: False))
    except HanodeError as error:  # not started, or not ended in time
        raise Unreachable(f"probe of {host}: {error}") from error
    if ended.returncode in (VOUCHES, HEARD_NOTHING):
        return ended.returncode == VOUCHES
    said = process.last_line(ended.stdout + ended.stderr)
    raise Unreachable(f"probe of {host}: {argv[0]} ended with {ended.returncode} ({said}): it could not look")


# --------------------------------------------------------------------------- icmp


def ping(address: str, settings: ProbeSettings) -> bool:
    """One echo request by the `ping` program, which needs no root because it is installed with the capability."""
    try:
        result = subprocess.run(
            ["ping", "-n", "-c", "1", "-W", f"{settings.timeout_s:g}", "--", address],
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace",
            timeout=settings.timeout_s + PING_SLACK_S, check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"probe of {address}: ping itself hangs") from error
    except OSError as error:
        raise Unreachable(f"probe of {address}: ping cannot be started ({error.strerror}): install iputils-ping") from error
    return _judge_ping(address, result)


def _judge_ping(address: str, result: subprocess.CompletedProcess[str]) -> bool:
    if result.returncode == 0:
        return True
    if result.returncode != 1:
        raise Unreachable(f"probe of {address}: {result.stderr.strip() or 'ping failed'}")
    errors = ICMP_ERROR.findall(result.stdout)
    if any(_same(sender, address) for sender, _ in errors):
        return True
    reasons = [text for _, text in errors] + SEND_ERROR.findall(result.stderr)
    not_looked = [text for text in reasons if not HOST_SILENT.search(text)]
    if not_looked:
        raise Unreachable(f"probe of {address}: {not_looked[0]}")
    return False


def _same(sender: str, address: str) -> bool:
    return is_address(sender) and ipaddress.ip_address(sender) == ipaddress.ip_address(address)


# --------------------------------------------------------------------------- tcp


def connect(address: str, settings: ProbeSettings) -> bool:
    """One connection, and the banner if one is configured."""
    deadline_s = time.monotonic() + settings.timeout_s
    try:
        with socket.create_connection((address, settings.port), timeout=settings.timeout_s) as connection:
            return _hears(connection, settings.banner.encode(), deadline_s) if settings.banner else True
    except TimeoutError:
        return False
    except OSError as error:
        if error.errno in ALIVE:
            return True
        if error.errno in SILENT:
            return False
        raise Unreachable(f"probe of {address} port {settings.port}: {error}") from error


def takes_connections(address: str, port: int, timeout_s: float) -> bool:
    """Does a program listen there? A refusal shows a living kernel, and no service."""
    try:
        with socket.create_connection((address, port), timeout=timeout_s):
            return True
    except TimeoutError:
        return False
    except OSError as error:
        if error.errno in ALIVE | SILENT:
            return False
        raise Unreachable(f"{address} port {port}: {error}") from error


def _hears(connection: socket.socket, banner: bytes, deadline_s: float) -> bool:
    heard = b""
    while len(heard) < len(banner):
        connection.settimeout(max(deadline_s - time.monotonic(), 0.001))
        part = connection.recv(len(banner) - len(heard))
        if not part:
            return True
        heard += part
    return heard == banner
