"""What has a scenario set up so far, and do the words of a line fit? Errors name what is known.

A word's usage is also its check: CAPITALS name a kind of argument (the tables below), `KIND...` is one or more,
`key=KIND` and `[flag]` may be left out, anything else must be written as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hanode.core import policy as policies
from hanode.core.commands import VERBS
from hanode.core.policy import Policy, StorePlan
from hanode.errors import ConfigError
from hanode.sim.run import TICK_GAP_S, Simulation
from hanode.sim.world import VOLUMES, Answer, BmcMode, Condition, Domain, Effect, Manner, Part, Timings, World


class Stage:
    """What the lines read so far have set up. `simulation` is there once the run has begun."""

    def __init__(self, policy: Mapping[str, str] | None = None) -> None:
        self.seed = 1
        self.timings = Timings()
        self.daemons: tuple[str, ...] = ("n1", "n2", "n3")
        self.start_s = 0.0
        self.tick_gap_s = TICK_GAP_S
        self.without_device: set[str] = set()
        self.left_behind: dict[str, str] = {}
        self.excused: dict[str, str] = {}
        self.persons_err = False
        self.in_order: list[tuple[list[str], bool, bool]] = []  # servers that come one after the other, and how that is meant
        self.started_in_order: list[list[str]] = []  # servers that arrive stopped, and are started one after the other
        self.ends_on: list[tuple[str, str]] = []  # where servers are to be at the end
        self.alone: list[str] = []  # servers beside which nothing is sent to their target
        self.on_purpose: dict[str, str] = {}  # invariants that this story breaks, and why
        self.stores: dict[str, StorePlan] = {}
        self.coming: set[str] = set()  # names of servers that will be created
        self.until_s: float | None = None
        self.declared: dict[Domain, list[str]] = {}
        self._policy = {"mode": "act", "check_every_s": "0"}  # a story is about one thing: those of checks say so
        self._over = dict(policy or {})
        self._world: World | None = None
        self._simulation: Simulation | None = None

    @property
    def world(self) -> World:
        """Built when it is first asked for: seed and timings must have been said before."""
        if self._world is None:
            self._world = World(self.seed, timings=self.timings)
        return self._world

    @property
    def is_built(self) -> bool:
        return self._world is not None

    def choose(self, words: Mapping[str, str]) -> None:
        self._policy |= words
        policy_of(words, frozenset())  # complain at this line, not at the end

    @property
    def policy(self) -> Policy:
        made = policy_of({**self._policy, **self._over}, frozenset(self.world.hosts) - self.without_device)
        return replace(made, fence_plans=self.world.fence_plans(), stores=dict(self.stores))

    @property
    def simulation(self) -> Simulation:
        assert self._simulation is not None, "events run within a simulation"
        return self._simulation

    def begin(self, crash_at: Iterable[tuple[int, str]] = ()) -> Simulation:
        for domain, hosts in sorted(self.declared.items(), key=lambda item: item[0].name):
            self.world.add_aggregate(domain.name, hosts, {"hanode:storage": domain.name, "hanode:kind": domain.kind})
        self._simulation = Simulation(self.world, self.policy, self.daemons, crash_at=crash_at, tick_gap_s=self.tick_gap_s)
        for daemon in self._simulation.daemons.values():
            daemon.next_tick_s += self.start_s
        return self._simulation

    def server_id(self, name: str) -> str:
        return self.world.servers.named(name).instance_id


def policy_of(words: Mapping[str, str], fenceable: frozenset[str]) -> Policy:
    """The policy that these options spell; raises ConfigError with every inequality that does not hold."""
    base = Policy()
    known = sorted(name for name in vars(base) if name not in ("domains", "fenceable", "fence_plans", "stores"))
    for name in sorted(words):
        if name not in known:
            raise ConfigError(f"the policy has no option {name!r}; it has {', '.join(known)}")
    policy = replace(base, fenceable=fenceable, **{name: as_like(getattr(base, name), text) for name, text in sorted(words.items())})
    wrong = policies.problems(policy)
    if wrong:
        raise ConfigError("; ".join(wrong))
    return policy


def as_like(example: object, text: str) -> Any:
    """The text as a value of the same type as the example."""
    if isinstance(example, bool):
        return _yes(text)
    if isinstance(example, (int, float)):
        return type(example)(_number(text))
    if isinstance(example, tuple):
        return tuple(filter(None, text.split(",")))
    if isinstance(example, frozenset):
        return frozenset(filter(None, text.split(",")))
    if isinstance(example, Mapping):
        return dict(pair.split(":", 1) for pair in text.split(",") if ":" in pair)
    return text


def _yes(text: str) -> bool:
    return {"yes": True, "no": False}[one_of(("yes", "no"), text, "yes or no")]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a number") from None


def one_of(known: Iterable[str], word: str, what: str) -> str:
    """The word, if it is one of the known; the error names them."""
    names = sorted(known)
    if word not in names:
        raise ConfigError(f"{word!r} is no {what}; known are: {', '.join(names) or 'none yet'}")
    return word


# --------------------------------------------------------------------------- kinds of arguments


def _domain(word: str) -> Domain:
    name, _, kind = word.partition(":")
    return Domain(name, one_of(("rbd", "file", "local"), kind, "kind of storage domain (written NAME:KIND)"))


def _member(enum: Any, what: str) -> Callable[[str], Any]:
    members = {name.lower().replace("_", "-"): member for name, member in enum.__members__.items()}
    return lambda word: members[one_of(members, word, what)]


def _choice(known: Iterable[str], what: str) -> Callable[[str], str]:
    return lambda word: one_of(known, word, what)


VALUES: Mapping[str, Callable[[str], Any]] = {
    "NAME": str,
    "TEXT": str,
    "STATE": str,
    "CALL": str,
    "DOMAIN": _domain,
    "SECONDS": _number,
    "NUMBER": lambda word: int(_number(word)),
    "YES": _yes,
    "CONDITION": _member(Condition, "condition of a storage domain"),
    "MANNER": _member(Manner, "manner of a store"),
    "PART": _member(Part, "part of the control plane"),
    "DEVICE": _member(BmcMode, "behaviour of a power device"),
    "ANSWER": _member(Answer, "answer of the API"),
    "EFFECT": _member(Effect, "effect of a request"),
    "PORT": _choice(("cloud", "fencer", "stores", "probe", "journal", "lock"), "port"),
    "VERB": _choice(VERBS, "command of an operator"),
    "GROUP": _choice(("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"), "policy of a server group"),
    "INVARIANT": _choice(("L1", *(f"S{number}" for number in range(1, 9))), "invariant"),
    "WISH": _choice(("delete", "lock", "pause", "start", "stop", "unlock", "unpause"), "wish of an owner"),
}

ON_STAGE: Mapping[str, Callable[[Stage], Iterable[str]]] = {
    "HOST": lambda stage: stage.world.hosts,
    "SERVER": lambda stage: stage.coming | {server.name for server in stage.world.servers.by_id.values()},
    "STORAGE": lambda stage: {VOLUMES} | {host.domain.name for host in stage.world.hosts.all()},
    "DAEMON": lambda stage: stage.daemons,
}


def _is_kind(token: str) -> bool:
    return token in VALUES or token in ON_STAGE


def _value_of(stage: Stage, kind: str, word: str) -> Any:
    return one_of(ON_STAGE[kind](stage), word, kind.lower()) if kind in ON_STAGE else VALUES[kind](word)


@dataclass(frozen=True)
class Word:
    usage: str
    do: Callable[..., None]

    def bind(self, stage: Stage, words: Sequence[str]) -> Callable[[], None]:
        """The call that this line means; raises ConfigError when the words do not fit the usage."""
        wanted = self.usage.split()
        options = {key: kind for key, _, kind in (token.partition("=") for token in wanted) if kind}
        flags = {token.strip("[]") for token in wanted if token.startswith("[")}
        found: dict[str, Any] = {}
        plain = []
        for word in words:
            key, equals, text = word.partition("=")
            if equals and key in options:
                found[key.replace("-", "_")] = _value_of(stage, options[key], text)
            elif word in flags:
                found[word.replace("-", "_")] = True
            else:
                plain.append(word)
        arguments = _positional(stage, [token for token in wanted if "=" not in token and not token.startswith("[")], plain)
        return partial(self.do, stage, *arguments, **found)


class AnyOptions(Word):
    """A word whose options are somebody else's to know."""

    def bind(self, stage: Stage, words: Sequence[str]) -> Callable[[], None]:
        pairs = [word.partition("=") for word in words]
        if not pairs or not all(equals for _, equals, _ in pairs):
            raise ConfigError(f"wants {self.usage}")
        return partial(self.do, stage, {key: text for key, _, text in pairs})


class Birth(Word):
    """A word whose first one is the name of a server that there will be: later lines may name it."""

    def bind(self, stage: Stage, words: Sequence[str]) -> Callable[[], None]:
        stage.coming.update(words[:1])
        return super().bind(stage, words)


def _positional(stage: Stage, wanted: Sequence[str], given: Sequence[str]) -> list[Any]:
    left, found = list(given), []
    for index, token in enumerate(wanted):
        name, after = token.removesuffix("..."), len(wanted) - index - 1
        count = max(1, len(left) - after) if token.endswith("...") else 1
        taken, left = left[:count], left[count:]
        if len(taken) < count or (not _is_kind(name) and taken != [name]):
            raise ConfigError(f"wants {' '.join(wanted)}")
        if _is_kind(name):
            values = [_value_of(stage, name, word) for word in taken]
            found.append(values if token.endswith("...") else values[0])
    if left:
        raise ConfigError(f"does not know {' '.join(left)!r}" + (f" after {' '.join(wanted)}" if wanted else ""))
    return found
