"""Over which networks is a host asked, and how? [probe] of hanode.conf, taken apart and checked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hanode.core.addresses import is_address, is_prefix
from hanode.core.signals import COMMAND, KDUMP, MANAGEMENT

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
RESERVED = (MANAGEMENT, COMMAND, KDUMP)

Get = Callable[[str], Any]
"""The value of an option of [probe]."""


@dataclass(frozen=True)
class Network:
    """The arguments of `adapters.probes.ProbeSettings`, or with `argv` those of `CommandSettings`."""

    kind: str = ""
    port: int = 0
    banner: str = ""
    timeout_s: float = 0.0
    addresses: Mapping[str, str] = field(default_factory=dict)
    within: str = ""
    argv: tuple[str, ...] = ()


def networks(get: Get) -> Mapping[str, Network]:
    """Every network by its name, in the order in which people think of them; empty: nobody is asked."""
    found: dict[str, Network] = {}
    if get("kind") != "none":
        found[MANAGEMENT] = Network(get("kind"), get("port"), get("banner"), get("timeout_s"), _addresses(get, ""))
    for name, prefix in sorted(get("networks").items()):
        found[name] = Network(*_kind(get, name), get("timeout_s"), _addresses(get, name), prefix)
    if get("command"):
        found[COMMAND] = Network(argv=tuple(shlex.split(get("command"))), timeout_s=get("command_timeout_s"))
    return found


def kdump(get: Get) -> dict[str, Any]:
    """The arguments of `adapters.kdump.Listener`; empty where nobody listens."""
    if not get("kdump_port"):
        return {}
    return {"address": get("kdump_address"), "port": get("kdump_port"), "silence_s": get("kdump_silence_s")}


def _kind(get: Get, name: str) -> tuple[str, int, str]:
    as_told = get("network_kinds").get(name)
    if as_told is None:
        return ("icmp" if get("kind") == "none" else get("kind")), get("port"), get("banner")
    kind, port, banner = (*as_told.split("/", 2), "", "")[:3]
    return kind, int(port or get("port")), banner


def _addresses(get: Get, network: str) -> dict[str, str]:
    split = ((where.partition("@"), address) for where, address in get("addresses").items())
    return {host: address for (host, _, of), address in split if of == network}


def wrong(get: Get) -> Iterator[tuple[str, str]]:
    """(option, what is wrong with it and what to do) of everything that no single option can know."""
    names = get("networks")
    for name, prefix in sorted(names.items()):
        if not NAME.fullmatch(name) or name in RESERVED:
            yield "networks", f"{name!r} cannot be the name of a network: use small letters and digits, and none of {', '.join(RESERVED)}"
        if not is_prefix(prefix):
            yield "networks", f"{prefix!r} of {name} is not a prefix without host bits: write it as 10.20.0.0/16"
    for name, kind in sorted(get("network_kinds").items()):
        if name not in names:
            yield "network_kinds", f"{name} is not among the networks; declare it there, or remove it"
        if not re.fullmatch(r"icmp|tcp(/[0-9]{1,5}(/.+)?)?", kind) or not _is_port(kind):
            yield "network_kinds", f"{kind!r} of {name} is none of icmp, tcp, tcp/PORT and tcp/PORT/BANNER"
    for where in sorted(get("addresses")):
        network = where.partition("@")[2]
        if "@" in where and network not in names:
            yield "addresses", f"{where} names the network {network!r}, which is not among the networks"
    if not is_address(get("kdump_address")):
        yield "kdump_address", f"{get('kdump_address')!r} is no IP address of this machine: write one, or 0.0.0.0 for all of them"
    yield from _wrong_command(get("command") or "")


def _wrong_command(command: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        yield "command", f"cannot be taken apart ({error}): close every quotation mark"
        return
    if words and not words[0].startswith("/"):
        yield "command", f"{words[0]!r} is not a full path: begin it with /"
    if words and "{host}" not in command and "{address}" not in command:
        yield "command", "names neither {host} nor {address}: it would say the same of every host"


def _is_port(kind: str) -> bool:
    port = (*kind.split("/"), "")[1]
    return not port or 0 < int(port) < 65536
