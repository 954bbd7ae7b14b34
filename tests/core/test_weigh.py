"""Does an operator read of each signal what it was really worth in the judgement?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.decide import decide
from hanode.core.decisions import Beat, Timers, Trace
from hanode.core.facts import Fleet, Reading
from hanode.core.levels import power_key
from hanode.core.model import Moment, Snapshot, WantKind
from hanode.core.records import Records, Roster
from hanode.core.signals import MANAGEMENT
from hanode.core.weigh import weigh
from tests.core.facts import POLICY, evidence, host


def counted(name: str, power: Trace | None = None, **given: object) -> str:
    """What the signal of this name counted for, of a host that has been silent for 70 s."""
    e = evidence(70, **given)  # type: ignore[arg-type]
    return next(sign.counts_for for sign in weigh(e, {power_key("c1", 1): power} if power else {}) if sign.name == name)


@pytest.mark.parametrize(
    ("name", "given", "counts_for"),
    [
        ("heartbeat", {}, "silence"),
        ("heartbeat", {"beat": Beat("t1", 995.0, moved=True)}, "life: it is not shot"),
        ("nova state", {}, "silence"),
        ("nova state", {"host": host(state=None)}, "nothing: could not look"),
        ("probe management", {"probe": "answers"}, "life: it is not shot"),
        ("probe management", {"probe": "silent"}, "silence"),
        ("probe management", {"probe": "silent", "readings": 1}, "nothing yet: a packet may have been lost"),
        ("probe management", {}, "nothing yet: it is not fenced on silence before"),
        ("probe management", {"probe": "unknown"}, "nothing: could not look, and it is not fenced on silence until then"),
        ("probe management", {"probe": "answers", "probes": {MANAGEMENT: Trace("answers", 1.0, 900.0, 9)}},
         "nothing: too old"),
        ("power", {}, "nothing yet"),
        ("kdump", {"crash": {"": Trace("answers", 990.0, 999.0, 3)}},
         "patience: the first power-off waits for the dump, no longer than kdump_wait_s"),
        ("kdump", {"crash": {"n2": Trace("silent", 990.0, 999.0, 3)}}, "nothing"),
        ("kdump", {"crash": {"": Trace("unknown", 990.0, 999.0, 3)}}, "nothing: could not look"),
    ],
)
def test_what_a_signal_counted_for(name: str, given: dict[str, object], counts_for: str) -> None:
    """Each is a rule of the judgement; what is ambiguous is said to be nothing."""
    assert counted(name, None, **given) == counts_for


@pytest.mark.parametrize(
    ("trace", "counts_for"),
    [
        (Trace("off", 990.0, 998.0, 3), "proof of death"),
        (Trace("off", 998.0, 998.0, 1), "nothing yet: one reading of off is no proof"),
        (Trace("on", 990.0, 998.0, 3), "doubt: it has power, which speaks against a proof of death"),
        (Trace("other", 990.0, 998.0, 3), "nothing: only off is off"),
        (Trace("unknown", 990.0, 998.0, 3), "nothing: could not look"),
        (Trace("off", 800.0, 900.0, 3), "nothing: too old"),
    ],
)
def test_what_a_reading_of_its_power_counted_for(trace: Trace, counts_for: str) -> None:
    """Only two fresh readings of exactly off are a proof."""
    assert counted("power", trace) == counts_for


def test_a_quarantined_device_counts_for_nothing() -> None:
    """Whatever it says."""
    lies = Roster(seen=frozenset({"c1"}), quarantined={"c1": "it lies"})
    assert counted("power", Trace("off", 990.0, 998.0, 3), roster=lies) == "nothing: the device is quarantined"


def test_a_witness_is_named_and_its_silence_is_nothing() -> None:
    """Who hears a host, and who does not, tells where the cut is."""
    witnessed = {("n2", MANAGEMENT): Trace("answers", 990.0, 998.0, 2), ("n3", MANAGEMENT): Trace("silent", 990.0, 998.0, 2)}
    signs = {sign.seen_by: sign for sign in weigh(evidence(70, probe="silent", witnessed=witnessed), {})
             if sign.name == "probe management"}
    assert {by: sign.counts_for for by, sign in signs.items()} == {
        "": "silence", "n2": "life: it is not shot", "n3": "nothing: a witness's silence is no proof"}
    assert (signs["n2"].age_s, signs["n2"].times) == (2.0, 2)


def test_signals_are_told_of_those_that_are_not_well_and_of_nobody_else() -> None:
    """Of ten thousand well hosts the status must stay small."""
    hosts = {"c1": host("c1", state="down"), "c2": host("c2")}
    beats = {"c1": Beat("t0", 20.0, moved=True, looked_s=99.0), "c2": Beat("t0", 95.0, moved=True, looked_s=99.0)}
    fleet: Reading[object] = Reading(Fleet(hosts, ()), 99.0, 99.5)
    snapshot = Snapshot({(WantKind.FLEET, ""): fleet})
    made = decide(snapshot, Records(roster=Roster(seen=frozenset(hosts))), replace(Timers(0.0), beats=beats), POLICY, Moment(100.0, "T"))
    assert list(made.signs) == ["c1"]
    assert [sign.name for sign in made.signs["c1"]] == ["heartbeat", "nova state", "power", "probe management"]
