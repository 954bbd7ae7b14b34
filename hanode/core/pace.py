"""How many evacuations may be under way at once? As many as Nova and its storage show that they can take.

Additive increase, multiplicative decrease (Chiu and Jain 1989), as TCP does: a window for the whole cloud, one for each declared
cell, one for each storage domain and one for each target. A window opens while what is under way in it fills it and ends as quickly
as before, and closes when it ends more slowly or not at all; and again, for as long as fewer at once bring more in all. The
configured limits are ceilings. A leader's memory of one wave of recoveries: never persisted, forgotten when the last evacuation has
ended.

The API tells no cell of a host, so only a cell that aggregates declare has a window of its own. It is about what the API waits for in
that cell alone, its database; what slows all of them closes the window of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median

from hanode.core.facts import Host
from hanode.core.lifecycle import IN_FLIGHT, TO_DO, HostState, InstanceState
from hanode.core.model import ActionKind, Outcome, Result
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.core.room import Limits, Room

SLOWER = 2.0
"""Twice as long as at its best: by Gunther's law of scalability about where more at once begins to bring less."""

CLOSES = 0.6
KEPT = 8
ENOUGH = 3
"""So many endings are a rhythm; fewer may be one large instance."""

EARNED = 2.0
RESERVE = 8.0
"""Second tries: so many at first; then one each `retry_s`, and so many for each evacuation that ended well."""

ALL = "all"
NO_CELLS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Scope:
    """What a window is about: where it begins, how far it closes, and what is slow there for certain, or never."""

    begins: int
    least: int
    slow_s: float  # slower than this is slow, as long as nothing better is known
    brisk_s: float  # quicker than this is not slow, whatever was seen before


SCOPES: Mapping[str, Scope] = {
    ALL: Scope(begins=32, least=4, slow_s=10.0, brisk_s=2.0),  # by how long Nova's API takes to accept one
    "cell": Scope(begins=32, least=4, slow_s=10.0, brisk_s=2.0),  # the same, of those from that cell
    "domain": Scope(begins=32, least=2, slow_s=60.0, brisk_s=5.0),  # these two by how long one takes in all
    "target": Scope(begins=4, least=1, slow_s=60.0, brisk_s=5.0),
}


@dataclass(frozen=True)
class Window:
    size: float
    best_s: float = float("inf")
    recent_s: tuple[float, ...] = ()  # the last endings since it was closed
    closed_s: float = float("-inf")  # when last; what was begun before says nothing of its size now
    before_s: float = 0.0  # how long they took when it was closed, until it is known what that has brought
    probing: bool = True  # never closed yet: it doubles with each round of endings


@dataclass(frozen=True)
class Begun:
    """An evacuation under way as this leader first saw it."""

    at_s: float
    domain: str
    target: str
    seen_by_nova: bool = False  # its record was seen
    cell: str = ""  # of the host that failed; "": none is declared


@dataclass(frozen=True)
class Pace:
    windows: Mapping[str, Window] = field(default_factory=dict)  # "all", "cell/NAME", "domain/NAME", "target/HOST"
    begun: Mapping[str, Begun] = field(default_factory=dict)
    credit: float = RESERVE
    retried_s: float = float("-inf")
    closed: tuple[str, ...] = ()  # what was closed in this tick, in words


def cells_of(hosts: Mapping[str, Host], policy: Policy) -> Mapping[str, str]:
    """host -> its cell of Nova, where an aggregate declares it."""
    found = {name: host.metadata(policy.cell_key) for name, host in hosts.items()}
    return {name: cell for name, cell in found.items() if cell}


def room_for(
    pace: Pace, policy: Policy, free: dict[str, dict[str, int]], domains: Iterable[str], now_s: float, cells: Mapping[str, str] = NO_CELLS
) -> Room:
    """The room in which is placed, with these windows.

    A window that is smaller than the largest of its kind counts as if the difference were under way in it; so placing, which
    looks at what is under way, knows one limit of each kind.
    """
    targets = {host: size_of(pace.windows, f"target/{host}", policy) for host in free}
    stores = {domain: size_of(pace.windows, f"domain/{domain}", policy) for domain in domains}
    sizes = {cell: size_of(pace.windows, f"cell/{cell}", policy) for cell in sorted(set(cells.values()))}
    per_target, per_domain, per_cell = (max(found.values(), default=0) for found in (targets, stores, sizes))
    # Where everything fails, second tries would keep it so: then one is left each `retry_s`, to see whether it is over.
    due = 1 if now_s - pace.retried_s >= policy.retry_s else 0
    return Room(
        free,
        Limits(size_of(pace.windows, ALL, policy), per_target, per_domain, per_cell, groups_one_by_one=True, doubted_alone=True),
        in_flight=Counter({host: per_target - size for host, size in targets.items()}),
        in_domain=Counter({domain: per_domain - size for domain, size in stores.items()}),
        cells=cells,
        in_cell=Counter({cell: per_cell - size for cell, size in sizes.items()}),
        retries=max(int(pace.credit), due),
    )


def is_retry(entry: InstanceRecovery) -> bool:
    """An earlier attempt reached Nova and was refused or failed; the one to be asked again of the same host is none."""
    return entry.attempt > entry.tries_before and not entry.pinned


def size_of(windows: Mapping[str, Window], name: str, policy: Policy) -> int:
    ceiling = _ceiling(name, policy)
    window = windows.get(name)
    return min(ceiling, int(window.size)) if window else min(ceiling, _scope(name).begins)


def _scope(name: str) -> Scope:
    return SCOPES[name.partition("/")[0]]


def _ceiling(name: str, policy: Policy) -> int:
    kind = name.partition("/")[0]
    return {"domain": policy.max_per_domain, "target": policy.max_per_target}.get(kind, policy.max_evacuations)


# --------------------------------------------------------------------------- learning


def learn(
    pace: Pace,
    hosts: Mapping[str, HostRecovery],
    outcomes: Iterable[Outcome],
    policy: Policy,
    now_s: float,
    cells: Mapping[str, str] = NO_CELLS,
) -> Pace:
    """The pace after what has ended since the last tick; pure. `cells`: of the failed hosts, where they are declared."""
    evacuated = {host: record for host, record in hosts.items() if record.state is HostState.EVACUATING}
    entries = [entry for record in evacuated.values() for entry in record.instances.values()]
    if not any(entry.state in TO_DO | IN_FLIGHT for entry in entries):
        return Pace()
    lesson = _Lesson(pace, policy, now_s)
    for outcome in sorted(outcomes, key=lambda outcome: outcome.action.action_id):
        if outcome.action.kind is ActionKind.EVACUATE:
            lesson.posted(outcome, cells.get(outcome.action.host, ""))
    now = {_key(entry): entry for entry in entries}
    for key, begun in sorted(pace.begun.items()):
        if key not in now or now[key].state not in IN_FLIGHT:
            lesson.ended(begun, now.get(key))
    under_way = {key: entry for key, entry in now.items() if entry.state in IN_FLIGHT}
    retries = sum(1 for key, entry in under_way.items() if key not in pace.begun and entry.attempt - entry.tries_before > 1)
    cell = {_key(entry): cells.get(host, "") for host, record in evacuated.items() for entry in record.instances.values()} if cells else {}
    going = {key: _begun(pace.begun.get(key), entry, now_s, cell.get(key, "")) for key, entry in under_way.items()}
    credit = min(RESERVE + len(entries), max(0.0, lesson.credit - retries))
    return Pace(lesson.windows, going, credit, now_s if retries else pace.retried_s, tuple(lesson.closed))


def _key(entry: InstanceRecovery) -> str:
    return f"{entry.instance_id}/{entry.attempt}"


def _begun(former: Begun | None, entry: InstanceRecovery, now_s: float, cell: str) -> Begun:
    seen = entry.state is InstanceState.UNDERWAY
    if former is None:
        return Begun(now_s, entry.domain, entry.target, seen, cell)
    return replace(former, seen_by_nova=True) if seen and not former.seen_by_nova else former


class _Lesson:
    """One tick's endings, one after the other; it lives within a single `learn`."""

    def __init__(self, pace: Pace, policy: Policy, now_s: float) -> None:
        self._policy, self._now_s = policy, now_s
        self.windows = dict(pace.windows)
        self.credit = pace.credit
        self.closed: list[str] = []
        self._filled = Counter[str]()
        for begun in pace.begun.values():
            self._filled.update((ALL, f"cell/{begun.cell}", f"domain/{begun.domain}", f"target/{begun.target}"))
        self._full = {name for name, count in self._filled.items() if count >= int(self._window(name).size)}

    def posted(self, outcome: Outcome, cell: str) -> None:
        begun_s = outcome.finished_s - outcome.lasted_s
        others_s = self._beside(cell)
        own = [f"cell/{cell}"] if cell else []
        if outcome.result is Result.DONE:
            alone = outcome.lasted_s > max(SCOPES["cell"].brisk_s, SLOWER * others_s)
            for name in own if alone else [*own, ALL]:
                self._feel(name, begun_s, outcome.lasted_s, "Nova accepts them", self._slow_s(name))
        elif outcome.result in {Result.AMBIGUOUS, Result.UNREACHABLE}:
            for name in own if others_s < SCOPES["cell"].slow_s else [*own, ALL]:
                self._close(name, begun_s, f"Nova does not take one ({outcome.detail})")

    def _beside(self, cell: str) -> float:
        """How long Nova takes to accept one from the other declared cells, for all of which its API is the same; inf: nobody knows."""
        others = [w.recent_s for name, w in self.windows.items() if cell and name.startswith("cell/") and name != f"cell/{cell}"]
        return min((median(recent_s) for recent_s in others if len(recent_s) >= ENOUGH), default=float("inf"))

    def ended(self, begun: Begun, entry: InstanceRecovery | None) -> None:
        if entry is None or not begun.seen_by_nova:
            return  # it never reached Nova, or its host is not evacuated any more
        lasted_s = self._now_s - begun.at_s
        domain, target = f"domain/{begun.domain}", f"target/{begun.target}"
        if entry.state in {InstanceState.MOVED, InstanceState.VERIFIED}:
            self.credit += EARNED
            self._feel(domain, begun.at_s, lasted_s, "they end", self._slow_s(domain))
            self._feel(target, begun.at_s, lasted_s, "they end", self._slow_beside(domain))
        elif entry.state in {InstanceState.PENDING, InstanceState.WAITING, InstanceState.FAILED}:
            self._close(target, begun.at_s, "one has failed there")
            slow_s = self._slow_s(domain)
            if lasted_s > slow_s:  # what failed at once tells nothing of the storage
                self._feel(domain, begun.at_s, lasted_s, "they fail", slow_s)

    def _window(self, name: str) -> Window:
        return self.windows.get(name) or Window(float(min(_ceiling(name, self._policy), _scope(name).begins)))

    def _slow_s(self, name: str) -> float:
        window = self._window(name)
        return min(SLOWER * window.best_s, _scope(name).slow_s if window.probing else float("inf"))

    def _slow_beside(self, domain: str) -> float:
        """One target is slow by what the others do: what slows all of them is not its own."""
        recent_s = self._window(domain).recent_s
        return SLOWER * median(recent_s) if len(recent_s) >= ENOUGH else float("inf")

    def _feel(self, name: str, begun_s: float, lasted_s: float, what: str, slow_s: float) -> None:
        window = self._window(name)
        # What was begun before the whole was closed was begun under too much for all of it: what it says has been answered.
        if begun_s < max(window.closed_s, self._window(ALL).closed_s):
            return
        recent_s = (*window.recent_s, lasted_s)[-KEPT:]
        usual_s, known = median(recent_s), len(recent_s) >= ENOUGH
        best_s = min(window.best_s, usual_s) if known else window.best_s
        self.windows[name] = replace(window, recent_s=recent_s, best_s=best_s, before_s=0.0 if known else window.before_s)
        if known and usual_s > max(_scope(name).brisk_s, slow_s):
            self._close(name, begun_s, f"{what} after {usual_s:.0f} s, and {slow_s:.0f} s is slow", usual_s)
        elif known and _scope(name).brisk_s < usual_s < CLOSES * window.before_s:
            # So many fewer take less than so much less time each: in all, fewer at once bring more.
            self._close(name, begun_s, f"{what} after {usual_s:.0f} s, not {window.before_s:.0f} s, since there are fewer", usual_s)
        elif known and name in self._full:
            step = 1.0 if window.probing else 1.0 / window.size
            size = min(float(_ceiling(name, self._policy)), window.size + step)
            self.windows[name] = replace(self.windows[name], size=size)

    def _close(self, name: str, begun_s: float, why: str, before_s: float = 0.0) -> None:
        """Once for each round: what was begun before the last closing is its echo. So few cannot have been too many."""
        window, least, count = self._window(name), _scope(name).least, self._filled[name]
        if begun_s < window.closed_s or count <= least:
            return
        size = max(float(least), CLOSES * min(window.size, count))
        best_s = float("inf") if window.probing else window.best_s  # what was seen first was seen under too much
        self.windows[name] = Window(size, best_s, (), self._now_s, before_s, probing=False)
        if int(size) < int(window.size):
            self.closed.append(f"evacuations{_in_words(name)}: at most {int(size)} at once, before {int(window.size)}: {why}")


def _in_words(name: str) -> str:
    kind, _, which = name.partition("/")
    return {ALL: "", "cell": f" from cell {which}", "domain": f" in storage domain {which}", "target": f" to {which}"}[kind]
