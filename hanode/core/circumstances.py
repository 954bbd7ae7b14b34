"""Under which circumstances did a host fail? What its record alone does not tell, kept so that the incident can be played again.

Bounded: the hosts that could take something and those that failed with it, the instances of its list, and of other people's texts only
what some rule may read. Nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanode.core.facts import Aggregate, Instance, Resources, ServerGroup
from hanode.core.policy import Policy

MOST_HOSTS = 150
MOST_INSTANCES = 300
MOST_TEXTS = 20


@dataclass(frozen=True)
class Bystander:
    """A host as it was when another failed."""

    name: str
    hypervisor: str = ""  # its type
    zone: str = ""
    domain: str = ""  # of its storage; "" = none declared
    kind: str = ""  # of that domain
    disabled: str = ""  # why nothing new is placed on it; "" when it is enabled
    silent: bool = False  # it had failed too, or seemed to
    power: str = ""  # what its power device said, if it was asked
    free: Resources = field(default_factory=dict)
    traits: frozenset[str] = frozenset()  # those that some instance asks about


@dataclass(frozen=True, eq=False)
class Circumstances:
    """Compared by identity: it is put together once, and completed once when Placement was read."""

    at: str
    silent_s: float  # for how long its service had been silent when its fencing began
    power: str  # what its power device said then: "on" | "off" | "other" | "unknown"; "": it has none, or it was not asked
    probes: Mapping[str, str]  # network -> "answers" | "silent" | "unknown"
    protected: int  # hosts, for the brake
    policy: Policy  # without the tables by host, of which the hosts below carry their part
    itself: Bystander
    hosts: tuple[Bystander, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()  # of these hosts alone
    instances: Mapping[str, Instance] = field(default_factory=dict)
    groups: tuple[ServerGroup, ...] = ()
    room_known: bool = False  # `free` was read before anything was placed
    left_out: int = 0  # hosts and instances for which there was no place here
