"""The fuzzer: seeds make scenarios, and a scenario that fails is made small."""

from __future__ import annotations

import itertools
import json
from io import StringIO
from random import Random

import pytest

from hanode.cli.main import main
from hanode.core.commands import VERBS
from hanode.sim import fuzz, fuzz_shrink
from hanode.sim.fuzz_faults import FAILURES, FAULTS
from hanode.sim.fuzz_plan import HOSTS, MEND_S, SERVERS, UNTIL_S, draw
from hanode.sim.scenario import play, read
from hanode.sim.scenario_stage import Stage
from hanode.sim.scenario_words import EVENTS

MANY = range(400)
LIVES = "hosts c1 c2 c3\nservers web1 on c1\nservers web2 on c2\n50 device c2 silent\n60 device c1 lies-off\n60 cut-network c1\nuntil 300\n"
"""A device that says off of a host that is silent and lives: nothing can tell, and two guests write one disk."""


def happenings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line[0].isdigit()]


# --------------------------------------------------------------------------- what a seed is


@pytest.mark.parametrize("seed", range(40))
def test_each_seed_is_a_scenario_that_can_be_read(seed: int) -> None:
    """A failing seed becomes a folder of tests/scenarios as it stands, so it must speak the language of scenarios."""
    stage = Stage()
    events = read(fuzz.compose(seed).text, stage)
    assert set(stage.world.hosts) == set(HOSTS)
    assert {server.name for server in stage.world.servers.by_id.values()} >= set(SERVERS)
    assert {host.domain.kind for host in stage.world.hosts.all()} == {"rbd", "file"}
    assert stage.until_s == UNTIL_S
    assert len(events) >= 5


def test_each_seed_has_a_host_failure_and_several_faults_and_ends_mended() -> None:
    """Single faults are the business of written scenarios; here they meet, and then nothing may stay broken."""
    for seed in MANY:
        scenario = fuzz.compose(seed)
        assert set(scenario.faults) & set(FAILURES), seed
        assert len(scenario.faults) >= fuzz.FEWEST - 1, seed
        *before, mend, tend = happenings(scenario.text)
        assert (mend.split()[1], tend.split()[1]) == ("mend-all", "tend")
        assert all(float(line.split()[0]) < MEND_S for line in before), seed


def test_every_kind_of_fault_and_every_pair_of_them_turns_up() -> None:
    """A kind that is never chosen, or always chooses nothing, would test nothing and look tested."""
    tally = fuzz.Tally()
    for seed in MANY:
        tally.add(fuzz.Outcome(fuzz.compose(seed)))
    report = tally.report(60.0)
    assert all(report["faults"].values()), report["faults"]
    assert report["fault_pairs_covered"] > 0.9
    assert report["seeds_per_minute"] == len(MANY)


def test_every_command_of_an_operator_is_tried() -> None:
    """Operators type anything at any moment."""
    texts = "".join(fuzz.compose(seed).text for seed in MANY)
    assert {verb for verb in VERBS if f"operator {verb} " not in texts} == set()


def test_a_kind_says_in_one_sentence_what_it_does() -> None:
    """The table of faults is documentation."""
    silent = [kind for kind, fault in FAULTS.items() if not (fault.__doc__ or "").strip()]
    assert silent == []


def test_a_reserved_host_is_left_alone_by_every_other_fault() -> None:
    """Of a silent host nothing can tell that its device lies; so the host whose device lies must not fall silent."""
    for seed in MANY:
        rng = Random(seed)
        plan = draw(rng)
        host = plan.reserve(rng)
        lines = [line for kind, fault in FAULTS.items() if kind != "device-wrong" for line in fault(rng, plan)]
        harmless = {"live-migration", "live-migrate", "cold-migrate", "resize", "create"}  # they only wish to go there
        assert not [line for _, line in lines if line.split()[0] not in harmless and host in line.split()], seed


# --------------------------------------------------------------------------- the same seed, the same log


def test_the_same_seed_gives_the_same_log_in_every_process() -> None:
    """D1: a failure that cannot be repeated cannot be understood. Each process of a sweep has a seed of its own for its hashes."""
    alone = {outcome.scenario.seed: outcome.digest for outcome in fuzz.sweep(range(3))}
    beside = {outcome.scenario.seed: outcome.digest for outcome in fuzz.sweep(range(3), jobs=2)}
    assert alone == beside
    assert list(alone) == [0, 1, 2]
    assert len(set(alone.values())) == 3


def test_endless_seeds_can_be_stopped() -> None:
    """`--minutes` and Ctrl-C end a sweep that has no end."""
    outcomes = fuzz.sweep(itertools.count(), jobs=2)
    first = next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]  # a generator
    assert first.digest


# --------------------------------------------------------------------------- what a failure is


def test_a_failure_is_found_and_made_small() -> None:
    """The lines that a failure does not need hide the ones that it does."""
    broken = {violation.invariant: violation.text for violation in play(LIVES).violations}
    assert "S1" in broken
    small = fuzz_shrink.shrink(LIVES, fuzz_shrink.fails_alike("S1", broken["S1"]))
    assert happenings(small) == ["60 device c1 lies-off", "60 cut-network c1"]
    assert "web2" not in small
    assert "web1" in small


def test_what_does_not_fail_is_not_made_smaller() -> None:
    """Then there is nothing to go by: every line stays, one host or server to a line."""
    whole = fuzz_shrink.shrink("hosts c1 c2\n60 panic c1\nuntil 90\n", lambda _: False)
    assert whole == "hosts c1\nhosts c2\nuntil 90\n60 panic c1\n"


def test_a_crash_of_hanode_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """An illegal step, an assertion: the seed says so, and the other seeds go on."""

    def crash(*_: object, **__: object) -> None:
        raise AssertionError("cannot be")

    monkeypatch.setattr(fuzz, "play", crash)
    outcome = fuzz.try_seed(7)
    assert [(failure.invariant, failure.sentence) for failure in outcome.failures] == [("CRASH", "AssertionError: cannot be")]
    assert outcome.failures[0].scenario == fuzz.compose(7).text


def test_two_failures_are_the_same_kind_when_only_names_and_numbers_differ() -> None:
    """Otherwise shrinking would fail on a moment that moved by a second."""
    assert fuzz_shrink.kind_of("s1 runs on c12 since 7.5 s") == fuzz_shrink.kind_of("s30 runs on c2 since 812.1 s")
    assert fuzz_shrink.kind_of("s1 runs on c12") != fuzz_shrink.kind_of("s1 starts on c12")


# --------------------------------------------------------------------------- the command


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    return main(["simulate", *arguments], stdout=out), out.getvalue()


def test_the_command_prints_one_object() -> None:
    """What scripts and CI read."""
    code, text = run("--seeds", "1", "--seed-base", "1", "-f", "json")
    report = json.loads(text)
    assert report["seeds"] == 1
    assert report["virtual_hours"] > 0.3
    assert report["states_covered"]["host SUSPECT"] == 1
    assert set(report) >= {"recoveries", "acts", "fault_pairs_covered", "faults", "violations", "states_never_seen", "seeds_per_minute"}
    assert code == (1 if report["violations"] else 0)


def test_a_violation_is_told_with_its_scenario_and_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, the text that fails, and the command that tells its story."""
    monkeypatch.setattr(fuzz, "compose", lambda seed: fuzz.Scenario(seed, LIVES, ("device-wrong",)))
    code, text = run("--seeds", "1", "--seed-base", "42")
    assert code == 1
    assert "--- seed 42: S1: web1 starts on" in text
    assert LIVES in text
    assert "hanode simulate --seeds 1 --seed-base 42 --tell" in text
    code, story = run("--seeds", "1", "--seed-base", "42", "--tell")
    assert code == 1
    assert "VIOLATION S1" in story


@pytest.mark.parametrize("arguments", [(), ("a-file", "--seeds", "3")])
def test_either_a_scenario_or_seeds(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Both at once would leave open which is meant."""
    code, _ = run(*arguments)
    assert code == 2
    assert "either PATH, or --seeds" in capsys.readouterr().err


def test_every_word_of_the_table_is_one_that_a_fault_uses_or_a_person_writes() -> None:
    """The fuzzer's words exist: a renamed word would otherwise only show as a wrong scenario of some rare seed."""
    used = {line.split()[1] for seed in MANY for line in happenings(fuzz.compose(seed).text)}
    assert used <= set(EVENTS)
    assert len(used) > 40
