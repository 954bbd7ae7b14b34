"""How many evacuations at once, after what Nova has shown?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Action, ActionKind, Outcome, Result
from hanode.core.pace import ALL, RESERVE, SCOPES, Pace, Window, is_retry, learn, room_for, size_of
from hanode.core.policy import Policy
from hanode.core.records import Before, HostRecovery, InstanceRecovery

POLICY = Policy(mode="act")
I = InstanceState  # noqa: E741 - a table reads better so
DOMAIN = "domain/ceph"


def entry(number: int, state: InstanceState, attempt: int = 1, target: str = "c2") -> InstanceRecovery:
    name = f"vm{number:03}"
    return InstanceRecovery(name, name, state, "", Before("active", "running", False), domain="ceph", attempt=attempt, target=target)


class Wave:
    """A wave of recoveries as the core sees it, tick by tick."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy, self.now_s, self.pace = policy, 0.0, Pace()
        self.entries: dict[str, InstanceRecovery] = {"waits": entry(999, I.PENDING, 0)}

    def tick(self, *outcomes: Outcome) -> None:
        record = HostRecovery("c1", "c1-1", HostState.EVACUATING, "", "T", instances=dict(self.entries))
        self.pace = learn(self.pace, {"c1": record}, outcomes, self.policy, self.now_s)

    def asked(self, numbers: range, attempt: int = 1) -> None:
        self.entries |= {f"vm{n:03}": entry(n, I.UNDERWAY, attempt, f"c{n % 8 + 2}") for n in numbers}
        self.tick()

    def ended(self, numbers: range, after_s: float, state: InstanceState = I.MOVED) -> None:
        self.now_s += after_s
        self.entries |= {f"vm{n:03}": replace(self.entries[f"vm{n:03}"], state=state) for n in numbers}
        self.tick()

    def round(self, begin: int, count: int, lasts_s: float) -> None:
        self.asked(range(begin, begin + count))
        self.ended(range(begin, begin + count), lasts_s)

    def size(self, name: str = DOMAIN) -> int:
        return size_of(self.pace.windows, name, self.policy)


def posted(number: int, lasted_s: float, finished_s: float, result: Result = Result.DONE) -> Outcome:
    return Outcome(Action("c1", ActionKind.EVACUATE, "c1-1", 1, f"vm{number:03}"), result, "", finished_s, lasted_s)


def test_while_they_end_quickly_more_are_asked_for() -> None:
    """A cloud that takes all of them is not kept waiting: a full window doubles in a round."""
    wave = Wave()
    wave.round(0, 32, 10.0)
    assert 55 <= wave.size() <= 64


def test_what_did_not_fill_the_window_does_not_open_it() -> None:
    """Eight quick ones tell nothing of forty at once."""
    wave = Wave()
    wave.round(0, 8, 10.0)
    assert wave.size() == SCOPES["domain"].begins


def test_the_configured_limit_is_never_exceeded() -> None:
    """Who knows his Nova has the last word."""
    wave = Wave(replace(POLICY, max_per_domain=33, max_per_target=2, max_evacuations=5))
    wave.round(0, 33, 10.0)
    assert wave.size() == 33
    assert (wave.size("target/c9"), wave.size(ALL)) == (2, 5)


def test_when_they_take_twice_as_long_fewer_are_asked_for_once_each_round() -> None:
    """The others of the same round are its echo, not a second sign."""
    wave = Wave()
    wave.round(0, 32, 10.0)
    wave.asked(range(100, 160))
    wave.ended(range(100, 108), 25.0)
    assert any("storage domain ceph: at most" in said for said in wave.pace.closed)
    closed = wave.size()
    assert closed < 40
    wave.ended(range(108, 160), 5.0)
    assert wave.size() == closed


def test_fewer_and_fewer_are_asked_for_while_that_brings_more() -> None:
    """32 at once take 100 s each, 19 take 40 s: fewer bring more in all. 11 take 30 s: here it stays."""
    wave, sizes = Wave(), []
    for begin, count, lasts_s in ((0, 32, 100.0), (100, 19, 40.0), (200, 11, 30.0)):
        wave.round(begin, count, lasts_s)
        sizes.append(wave.size())
    assert sizes[:2] == [19, 11] and 11 <= sizes[2] <= 12


def test_a_cloud_that_is_slow_by_itself_is_closed_once_and_not_again() -> None:
    """Rebuilds that always take two minutes must not end at two at a time."""
    wave = Wave()
    for begin in range(0, 1000, 100):
        wave.round(begin, min(32, wave.size()), 120.0)
    assert wave.size() >= 19


def test_a_target_that_is_slower_than_the_others_gets_fewer() -> None:
    """A sick host is not the storage's fault."""
    wave = Wave()
    for begin in (0, 800, 1600):
        wave.asked(range(begin, begin + 32, 8))  # four on c2, and twenty seconds later four on each of the others
        wave.now_s += 20.0
        wave.asked(range(begin, begin + 32))
        wave.ended(range(begin, begin + 32), 10.0)
    assert wave.size("target/c2") < wave.size("target/c3")
    assert wave.size() >= SCOPES["domain"].begins


def test_a_target_that_fails_gets_fewer() -> None:
    """Whatever it fails of, it may be too much of it."""
    wave = Wave()
    wave.asked(range(32))
    wave.ended(range(0, 32, 8), 3.0, I.PENDING)
    assert wave.size("target/c2") < SCOPES["target"].begins == wave.size("target/c3")
    assert wave.size() == SCOPES["domain"].begins, "what fails at once tells nothing of the storage"


@pytest.mark.parametrize("result", [Result.AMBIGUOUS, Result.UNREACHABLE])
def test_when_nova_does_not_take_one_fewer_are_asked_for_in_all(result: Result) -> None:
    """A 500 or a time-out under load is the first sign of a collapse."""
    wave = Wave()
    wave.asked(range(32))
    wave.tick(posted(0, 30.0, 31.0, result))
    assert wave.size(ALL) == 19


def test_a_refusal_is_no_sign_of_load() -> None:
    """Nova says 400 of an instance with a vTPM, as often as it is asked."""
    wave = Wave()
    wave.asked(range(32))
    wave.tick(*(posted(n, 0.1, 1.0, Result.REFUSED) for n in range(8)))
    assert wave.size(ALL) == SCOPES[ALL].begins


def test_when_nova_accepts_them_slowly_fewer_are_asked_for_in_all() -> None:
    """Its API is shared with every user of the cloud."""
    wave = Wave()
    wave.asked(range(32))
    wave.tick(*(posted(n, 15.0, 16.0) for n in range(4)))
    assert wave.size(ALL) == 19


def test_what_was_begun_before_the_whole_was_closed_closes_nothing_else() -> None:
    """One storm is answered once. Few are left of it when its slow ones end, and their storage would be closed to a part of those few."""
    wave = Wave()
    wave.asked(range(32))
    wave.now_s += 20.0
    wave.tick(*(posted(n, 15.0, 16.0) for n in range(4)))
    wave.ended(range(20), 60.0)
    wave.ended(range(20, 24), 20.0)
    assert wave.size(ALL) == 19
    assert wave.size() == SCOPES["domain"].begins


def test_an_api_that_is_brisk_again_is_not_asked_for_fewer() -> None:
    """How long Nova takes to accept one tells whether it is asked for too much, and not how much fewer of them bring."""
    wave = Wave()
    wave.asked(range(32))
    wave.tick(*(posted(n, 15.0, 16.0) for n in range(4)))
    wave.tick(*(posted(n, 1.5, 30.0) for n in range(4, 8)))
    assert wave.size(ALL) == 19


def test_so_few_that_it_stands_still_are_never_asked_for() -> None:
    """L1: whatever Nova does, something is tried."""
    wave = Wave()
    for begin in range(0, 2000, 100):
        wave.asked(range(begin, begin + 40))
        wave.tick(*(posted(n, 30.0, wave.now_s + 31.0, Result.AMBIGUOUS) for n in range(begin, begin + 4)))
        wave.ended(range(begin, begin + 40), 400.0 * (begin + 1), I.PENDING)
    for name, scope in ((ALL, SCOPES[ALL]), (DOMAIN, SCOPES["domain"]), ("target/c2", SCOPES["target"])):
        assert wave.size(name) >= scope.least


def test_second_tries_are_few_until_some_have_ended_well() -> None:
    """Where everything fails, trying everything again keeps it failing (a metastable collapse)."""
    wave = Wave()
    wave.asked(range(30))
    wave.ended(range(30), 60.0, I.PENDING)
    assert _retries(wave) == RESERVE
    wave.asked(range(int(RESERVE)), attempt=2)
    assert _retries(wave) == 0
    wave.now_s += POLICY.retry_s
    assert _retries(wave) == 1, "one is always left, to see whether it is over"
    wave.ended(range(4), 5.0)
    assert _retries(wave) >= 8


def _retries(wave: Wave) -> float:
    return room_for(wave.pace, wave.policy, {}, (), wave.now_s).retries


def test_what_certainly_never_reached_nova_is_no_second_try() -> None:
    """After an hour without Nova's API everybody is asked for the first time."""
    assert is_retry(entry(1, I.PENDING, attempt=1))
    assert not is_retry(replace(entry(1, I.PENDING, attempt=1), tries_before=1))
    assert not is_retry(replace(entry(1, I.PENDING, attempt=1), pinned=True))


def test_a_closed_window_counts_as_if_the_rest_were_under_way() -> None:
    """So placing prefers the others, and gives it no more than it may have."""
    windows = {"target/c2": Window(1.0), "domain/poor": Window(5.0)}
    room = room_for(Pace(windows), POLICY, {"c2": {}, "c3": {}}, ("poor", "rich"), 0.0)
    assert (room.limits.per_target, room.in_flight["c2"], room.in_flight["c3"]) == (4, 3, 0)
    assert (room.limits.per_domain, room.in_domain["poor"], room.in_domain["rich"]) == (32, 27, 0)
    assert room.total == 0


def of_cells(*outcomes: tuple[str, Outcome], under_way: int = 16) -> Pace:
    """Two failed hosts, each in a cell of its own, with as many under way from each; what Nova has answered comes by the cell's name."""
    cells, evacuated = {"c1": "one", "c9": "two"}, {}
    for offset, (host, cell) in enumerate(sorted(cells.items())):
        numbers = range(100 * offset, 100 * offset + under_way)
        entries = {f"vm{n:03}": entry(n, I.UNDERWAY, target=f"{cell}-{n % 8}") for n in numbers}
        evacuated[host] = HostRecovery(host, f"{host}-1", HostState.EVACUATING, "", "T", instances=entries)
    host_of = {cell: host for host, cell in cells.items()}
    told = [replace(o, action=replace(o.action, host=host_of[cell])) for cell, o in outcomes]
    pace = learn(Pace(), evacuated, (), POLICY, 0.0, cells)
    return learn(pace, evacuated, told, POLICY, 40.0, cells)


def test_a_cell_whose_database_is_slow_gets_fewer_and_the_others_do_not() -> None:
    """The API is the same for all of them: what only one waits for is its own."""
    quick = [("one", posted(n, 0.5, 2.0)) for n in range(4)]
    slow = [("two", posted(n, 15.0, 30.0)) for n in range(100, 104)]
    pace = of_cells(*quick, *slow)
    assert size_of(pace.windows, "cell/two", POLICY) < 16
    assert size_of(pace.windows, "cell/one", POLICY) == 32 <= size_of(pace.windows, ALL, POLICY)
    assert any(said.startswith("evacuations from cell two: at most") for said in pace.closed)


def test_a_cell_that_takes_none_leaves_the_others_alone() -> None:
    """Its database is away: Nova answers 500 for that cell, and takes those of the others as before."""
    quick = [("one", posted(n, 0.5, 2.0)) for n in range(4)]
    pace = of_cells(*quick, ("two", posted(100, 30.0, 31.0, Result.AMBIGUOUS)))
    assert size_of(pace.windows, "cell/two", POLICY) < 16
    assert size_of(pace.windows, ALL, POLICY) >= 32


def test_where_every_cell_is_slow_the_whole_is() -> None:
    """Then it is the API itself, or what all of them share."""
    pace = of_cells(*(("one", posted(n, 15.0, 30.0)) for n in range(4)), *(("two", posted(n, 15.0, 30.0)) for n in range(100, 104)))
    assert size_of(pace.windows, ALL, POLICY) < 32


def test_a_closed_cell_takes_no_more_and_another_does() -> None:
    """Undeclared hosts know no such limit."""
    windows = {"cell/two": Window(5.0)}
    room = room_for(Pace(windows), POLICY, {"a": {}, "b": {}, "c": {}}, ("",), 0.0, {"a": "one", "b": "two"})
    for _ in range(5):
        room.start("b", "", {})
    assert (room.is_full("", "b"), room.is_full("", "a"), room.is_full("", "c")) == (True, False, False)


def test_with_the_last_evacuation_everything_is_forgotten() -> None:
    """What was true in one storm says little of the next."""
    wave = Wave()
    wave.round(0, 32, 10.0)
    wave.entries = {key: replace(one, state=I.VERIFIED) for key, one in wave.entries.items()}
    wave.tick()
    assert wave.pace == Pace()
