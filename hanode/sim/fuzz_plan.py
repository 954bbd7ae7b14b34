"""What does the cloud of a fuzzed scenario consist of, and how does a fault choose its moment and its subject?

Everything here is drawn from one `random.Random(seed)`: the same seed writes the same text in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

HOSTS = tuple(f"c{number}" for number in range(1, 13))
SERVERS = tuple(f"s{number}" for number in range(1, 61))
DAEMONS = ("n1", "n2", "n3")

FIRST_S, LAST_S = 40.0, 1180.0
"""Faults begin between these; before, everybody has seen every host beat."""

MEND_S = 1200.0
UNTIL_S = 2700.0
"""The second phase: everything is mended, and what can come back has this long to do so."""

Line = tuple[float, str]
Lines = list[Line]
"""What happens, and when."""


@dataclass
class Plan:
    """What stands, and what has been chosen so far."""

    domains: Mapping[str, str]  # host -> storage domain, written NAME:KIND
    homes: Mapping[str, str]  # server -> host
    setup: Sequence[str]
    blows: list[tuple[float, str]] = field(default_factory=list)  # when which host failed: where faults like to meet
    reserved: set[str] = field(default_factory=set)  # hosts of which only the fault that took them may speak
    excused: dict[str, str] = field(default_factory=dict)  # server -> why it need not be as it was
    blind: list[tuple[float, float]] = field(default_factory=list)  # when perhaps nobody can look at Nova, from and to

    def excuses(self) -> Iterator[str]:
        for host in sorted({host for at_s, host in self.blows if any(begin_s - 60 < at_s < end_s for begin_s, end_s in self.blind)}):
            self.excuse(self.on(host), "its host failed while nobody could look")
        for why in sorted(set(self.excused.values())):
            yield f'may-be-left-behind {" ".join(s for s in SERVERS if self.excused.get(s) == why)} because "{why}"'

    # ------------------------------------------------------------------ choosing

    def host(self, rng: Random) -> str:
        """Any host that is not reserved; one that has failed as often as not, because faults are worst when they meet."""
        failed = sorted({host for _, host in self.blows} - self.reserved)
        return rng.choice(failed if failed and rng.random() < 0.5 else self.free())

    def free(self) -> list[str]:
        return [host for host in HOSTS if host not in self.reserved]

    def victim(self, rng: Random) -> Line:
        """A host that fails, and when; remembered."""
        blow = (self.moment(rng), rng.choice(self.free()))
        self.blows.append(blow)
        return blow

    def reserve(self, rng: Random) -> str | None:
        """A host to which nothing else happens, if one is left that nothing has happened to."""
        untouched = [host for host in self.free() if host not in {name for _, name in self.blows}]
        if not untouched:
            return None
        host = rng.choice(untouched)
        self.reserved.add(host)
        return host

    def server(self, rng: Random) -> str:
        """Any server; one of a failed host as often as not."""
        failed = {host for _, host in self.blows}
        theirs = [server for server, home in self.homes.items() if home in failed]
        return rng.choice(theirs if theirs and rng.random() < 0.6 else SERVERS)

    def excuse(self, servers: Iterable[str], why: str) -> None:
        for server in servers:
            self.excused.setdefault(server, why)

    def on(self, host: str) -> list[str]:
        return [server for server, home in self.homes.items() if home == host]

    def moment(self, rng: Random) -> float:
        """Any time, or more likely within the recovery from an earlier failure."""
        if self.blows and rng.random() < 0.75:
            time_s = rng.choice(self.blows)[0] + rng.uniform(-15.0, 160.0)
        else:
            time_s = rng.uniform(60.0, LAST_S - 250.0)
        return round(min(max(time_s, FIRST_S), LAST_S), 1)


Fault = Callable[[Random, Plan], Lines]
"""Chooses the lines of one kind of fault."""


def after(rng: Random, begin_s: float, within_s: float) -> float:
    return round(min(begin_s + rng.uniform(1.0, within_s), LAST_S), 1)


def until(rng: Random, begin_s: float, longest_s: float, end: str) -> Lines:
    """The line that ends a fault after a while; none when it lasts until everything is mended."""
    end_s = round(begin_s + rng.uniform(2.0, longest_s), 1)
    return [(end_s, end)] if end_s < LAST_S and rng.random() < 0.8 else []


# --------------------------------------------------------------------------- the cloud


def draw(rng: Random) -> Plan:
    """Twelve hosts in two or three storage domains, sixty servers in mixed states, three daemons."""
    domains = _domains(rng)
    homes = {server: rng.choice(HOSTS) for server in SERVERS}
    excused: dict[str, str] = {}
    zones = _zones(rng)
    fast = frozenset(rng.sample(HOSTS, 6)) if rng.random() < 0.3 else frozenset()
    wishes = _wishes(rng, homes, zones, fast)
    servers = _servers(rng, homes, excused, wishes)
    setup = [_policy(rng), _daemons(rng), *_hosts(rng, domains, zones, fast), *_aggregates(rng), *servers, *_groups(rng, homes)]
    return Plan(domains, homes, setup, excused=excused)


def _domains(rng: Random) -> dict[str, str]:
    cuts = sorted(rng.sample(range(3, 10), 2))
    names = rng.choice((("ceph-a:rbd", "nfs-a:file", "nfs-a:file"), ("ceph-a:rbd", "nfs-a:file", "ceph-b:rbd"),
                        ("nfs-a:file", "ceph-a:rbd", "nfs-b:file")))
    return {host: names[sum(number >= cut for cut in cuts)] for number, host in enumerate(HOSTS)}


def _policy(rng: Random) -> str:
    options = {
        "release": rng.choice(("auto", "operator")),
        "brake_hosts": rng.choice((2, 2, 3, 5)),
        "max_fencing": rng.choice((1, 2, 4)),
        "hard_deadline_s": 300,
        "boot_s": 200,
        "check_every_s": rng.choice((0, 0, 60, 300)),
        "networks": rng.choice(("management", "management", "management,storage")),
    }
    seldom = {
        "health_checked": "ceph-a,nfs-a",
        "tier_wait_s": rng.choice((20, 120)),
        "max_evacuations": rng.choice((1, 4)),
        "max_per_target": 2,
        "max_migrations": 1,
        "cold_migration": rng.choice(("none", "all")),
    }
    options |= {name: value for name, value in seldom.items() if rng.random() < 0.25}
    return "policy " + " ".join(f"{name}={value}" for name, value in options.items())


def _daemons(rng: Random) -> str:
    """Who is quick meets other moments than who has a large cloud to think about."""
    return f"daemons {' '.join(DAEMONS)} gap={rng.choice((0.5, 1, 1.5, 2, 3))}"


def _zones(rng: Random) -> Mapping[str, str]:
    """Now and then every second host is in another availability zone."""
    if rng.random() < 0.7:
        return {}
    return {host: ("west", "east")[number % 2] for number, host in enumerate(HOSTS)}


def _hosts(rng: Random, domains: Mapping[str, str], zones: Mapping[str, str], fast: Collection[str]) -> Iterator[str]:
    vcpus = rng.choice((8, 12, 32))
    resuming = {domain for domain in sorted(set(domains.values())) if domain.endswith(":rbd") and rng.random() < 0.3}
    kinds: dict[str, list[str]] = {}
    for host in HOSTS:
        domain = domains[host]
        words = (f"domain={domain} vcpus={vcpus}", f"zone={zones[host]}" if zones else "", f"traits={FAST}" if host in fast else "",
                 "resumes-guests=yes" if domain in resuming else "")
        kinds.setdefault(" ".join(filter(None, words)), []).append(host)
    for kind, names in sorted(kinds.items()):
        yield f"hosts {' '.join(names)} {kind}"


def _aggregates(rng: Random) -> Iterator[str]:
    """Now and then some hosts are treated otherwise than the others."""
    members = " ".join(sorted(rng.sample(HOSTS, 3)))
    special = rng.choice(("", "", "", "fence_living_aggregates=special", "recovery_by_aggregate=special:restart"))
    if special:
        yield f"aggregate special {members}"
        yield f"policy {special}"


FAST = "CUSTOM_FAST"


def _wishes(rng: Random, homes: Mapping[str, str], zones: Mapping[str, str], fast: Collection[str]) -> Mapping[str, str]:
    """What owners have asked for besides: where it may be, how important it is, after whom it starts."""
    wishes: dict[str, str] = {}
    ordered = rng.random() < 0.3
    for server, host in homes.items():
        words = []
        if zones and rng.random() < 0.3:
            words.append(f"zone={zones[host]}")
        if host in fast and rng.random() < 0.3:
            words.append(f"specs=trait:{FAST}=required")
        if ordered and rng.random() < 0.4:
            words.append(f"metadata=hanode:{rng.choice(('priority=highest', 'priority=low', f'after={rng.choice(SERVERS)}'))}")
        wishes[server] = "".join(f" {word}" for word in words)
    return wishes


def _groups(rng: Random, homes: Mapping[str, str]) -> Iterator[str]:
    """Server groups as Nova would have made them: of hard anti-affinity one to a host, of hard affinity all on one."""
    free = rng.sample(SERVERS, len(SERVERS))
    for number in range(rng.choice((0, 0, 1, 2, 3))):
        policy = rng.choice(("anti-affinity", "anti-affinity", "soft-anti-affinity", "affinity", "soft-affinity"))
        size = rng.randint(2, 4)
        if policy == "anti-affinity":
            members = list({homes[server]: server for server in free}.values())[:size]
        elif policy == "affinity":
            members = [server for server in free if homes[server] == homes[free[0]]][:size]
        else:
            members = free[:size]
        free = [server for server in free if server not in members]
        yield f"group group{number} {policy} {' '.join(members)}"


STATES: Mapping[str, tuple[int, str]] = {
    "active": (44, ""),
    "active, from a volume": (12, " volume"),
    "active, locked": (6, " locked"),
    "active, large": (6, " vcpus=3 ram-mb=8192"),
    "stopped": (12, " state=stopped"),
    "error": (4, " state=error"),
    "paused": (4, " state=paused power=paused"),
    "suspended": (4, " state=suspended off power=suspended"),
    "rescued": (4, " state=rescued"),
    "resized": (4, " state=resized"),
}
"""Kind of server -> how many of a hundred, and its words."""

NOT_AS_BEFORE = {"error", "paused", "suspended", "rescued", "resized"}
"""Nova neither evacuates these as they are nor brings them back after a reboot."""


def _servers(rng: Random, homes: Mapping[str, str], excused: dict[str, str], wishes: Mapping[str, str]) -> list[str]:
    kinds = rng.choices(list(STATES), [weight for weight, _ in STATES.values()], k=len(SERVERS))
    lines: dict[str, list[str]] = {}
    for server, kind in zip(SERVERS, kinds, strict=True):
        if kind in NOT_AS_BEFORE:
            excused[server] = f"was in state {kind}"
        lines.setdefault(f"on {homes[server]}{STATES[kind][1]}{wishes[server]}", []).append(server)
    return [f"servers {' '.join(names)} {words}" for words, names in lines.items()]
