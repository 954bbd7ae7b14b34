"""How does an instance show that it serves again, and not only runs? By a port or a program of the operator's, if anybody asked for that.

Who may say it is trusted in the order of priorities (`priority.most_trusted`). A tenant may name a port of his own instance, and no more:
programs stand in the operator's rules alone, and an address counts only within the networks that the operator has named.
"""

from __future__ import annotations

import ipaddress
import re

from hanode.core.facts import Instance
from hanode.core.lifecycle import InstanceState
from hanode.core.policy import Policy
from hanode.core.priority import first_that_fits, most_trusted
from hanode.core.records import InstanceRecovery

TCP, PROGRAM = "tcp:", "program:"
ANSWERS, LATE = "answers", "late"
ACTIVE = frozenset({InstanceState.MOVED, InstanceState.VERIFIED})

Check = tuple[str, str]
"""What is asked ("tcp:5432", or "program:" and the pattern of its rule; "": nothing), and where."""


def port_of(text: str) -> int | None:
    """The port in "tcp:5432"; None for anything else."""
    found = re.fullmatch(r"tcp:([0-9]{1,5})", text.strip().lower())
    port = int(found[1]) if found else 0
    return port if 0 < port < 65536 else None


def address_in(instance: Instance, prefixes: tuple[str, ...]) -> str:
    """Its first fixed address that lies in one of the networks; "" when none does."""
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
    return next((text for text in instance.addresses if any(ipaddress.ip_address(text) in network for network in networks)), "")


def _by_rule(instance: Instance, policy: Policy) -> str | None:
    pattern = first_that_fits(instance, policy.ready_rules)
    if pattern is None:
        return None
    return _port_said(policy.ready_rules[pattern]) or f"{PROGRAM}{pattern}"


def _port_said(text: str) -> str | None:
    port = port_of(text)
    return None if port is None else f"{TCP}{port}"


def check_of(instance: Instance, policy: Policy) -> Check:
    """How it shows that it serves: by whoever is trusted most. A port that nobody here can reach is not asked."""
    check = most_trusted(instance, policy, _by_rule, policy.ready_keys, _port_said)
    if not check:
        return "", ""
    address = address_in(instance, policy.ready_networks)
    return (check, address) if address or check.startswith(PROGRAM) else ("", "")


def is_silent(entry: InstanceRecovery) -> bool:
    """Active on its new host, as far as it is to run there, and it is not settled yet whether it serves."""
    runs = entry.state in ACTIVE and not entry.is_to_start and entry.before.power_state == "running"
    return bool(entry.check) and not entry.served and runs


def missing(entry: InstanceRecovery) -> str:
    """What an active instance still has to show."""
    if entry.check.startswith(TCP):
        return f"does not answer on port {entry.check.removeprefix(TCP)} yet"
    return "is not ready by its program yet"


def serves_key(entry: InstanceRecovery) -> str:
    return "@".join((entry.instance_id, entry.address, entry.check))


def from_key(key: str) -> tuple[str, str, str]:
    """Instance id, address and check. A pattern may hold any sign, so it comes last."""
    instance_id, address, check = key.split("@", 2)
    return instance_id, address, check
