"""An instance under which one host after the other fails: who is doubted, for how long, and whose fault it cannot be."""

from __future__ import annotations

from dataclasses import replace

from hanode.core import repeats
from hanode.core.decide import decide
from hanode.core.decisions import Decisions, Timers
from hanode.core.draft import Draft
from hanode.core.lifecycle import DrillState, HostState, InstanceState
from hanode.core.model import Moment, Snapshot
from hanode.core.order import line_of, restart_order
from hanode.core.records import Before, Drill, Failure, HostRecovery, InstanceRecovery, Records, Roster
from hanode.engine import codec
from tests.core.facts import POLICY

DAY_S = POLICY.repeat_window_s
AT = "2030-01-01T00:00:00Z"


def entry(name: str, state: InstanceState = InstanceState.PENDING, power: str = "running", **more: object) -> InstanceRecovery:
    vm_state = "active" if power == "running" else "stopped"
    return InstanceRecovery(name, name, state, "", Before(vm_state, power, False), **more)  # type: ignore[arg-type]


def incident(host: str, *entries: InstanceRecovery, state: HostState = HostState.EVACUATING) -> HostRecovery:
    return HostRecovery(host, f"{host}-1", state, "", AT, instances={e.instance_id: e for e in entries})


def failure(host: str, *names: str, left_s: float = DAY_S, rack: str = "") -> Failure:
    return Failure(host, (f"rack {rack}",) if rack else (), frozenset(names), left_s)


def draft_of(roster: Roster, *records: HostRecovery, now_s: float = 0.0) -> Draft:
    found = Records({record.host: record for record in records}, roster)
    return Draft(Snapshot(), found, Timers(now_s), POLICY, Moment(now_s, AT))


def tick(now_s: float, roster: Roster, timers: Timers | None = None) -> Decisions:
    return decide(Snapshot(), Records({}, roster), timers or Timers(now_s), POLICY, Moment(now_s, AT))


def doubted(*failures: Failure, name: str = "web1") -> tuple[str, ...]:
    """On which hosts it is told to have run, as the record of the last of them says."""
    roster = Roster(failures={f"{number}": found for number, found in enumerate(failures)})
    draft = draft_of(roster, incident(failures[-1].host, entry(name)))
    repeats.look_back(draft)
    return draft.records[failures[-1].host].instances[name].failed_hosts


def test_who_ran_on_two_hosts_that_failed_is_doubted_and_others_are_not() -> None:
    """One failure tells nothing of anybody; of the second one only those had been there before."""
    roster = Roster(failures={"c1-0": failure("c1", "web1")})
    draft = draft_of(roster, incident("c2", entry("web1"), entry("db1")))
    repeats.count(draft, draft.records["c2"])
    repeats.look_back(draft)
    found = draft.records["c2"].instances
    assert found["web1"].failed_hosts == ("c1", "c2")
    assert not found["db1"].is_doubted


def test_only_what_ran_there_counts() -> None:
    """A stopped guest kills nobody, and one that had moved away was not there any more."""
    here = incident("c1", entry("web1"), entry("off1", power="shutdown"), entry("away1", InstanceState.VERIFIED))
    draft = draft_of(Roster(), here)
    repeats.count(draft, here)
    assert draft.roster.failures["c1-1"].instances == {"web1"}


def test_the_same_host_twice_is_the_hosts_own_fault() -> None:
    """A host that fails again and again has a rule of its own."""
    assert doubted(failure("c1", "web1"), failure("c1", "web1")) == ()


def test_a_rack_that_fails_at_once_is_nobodys_fault() -> None:
    """Another host of it, on which the instance never was, failed at the same time: that has a cause of its own."""
    rack = failure("c1", "web1", rack="r1", left_s=1000.0), failure("c2", "other", rack="r1", left_s=1005.0)
    assert doubted(*rack, failure("c3", "web1", left_s=9000.0)) == ()
    long_ago = replace(rack[1], left_s=1000.0 + POLICY.storm_window_s + 1.0)
    assert doubted(rack[0], long_ago, failure("c3", "web1", left_s=9000.0)) == ("c1", "c3")


def test_who_was_on_all_hosts_of_a_rack_that_failed_is_doubted_all_the_same() -> None:
    """It goes from host to host within the rack and kills each: a common rack must not be its alibi. For those beside it it is."""
    rack = failure("c1", "web1", "db1", rack="r1"), failure("c2", "web1", rack="r1")
    assert doubted(*rack) == ("c1", "c2")
    assert doubted(*rack, failure("c3", "db1", "web1"), name="db1") == ()


def test_a_drill_is_no_failure() -> None:
    """Its canaries are restarted as they are in every drill."""
    drill = Drill("c1", "c1-drill", "op", "why", AT, ("web1",), DrillState.RECOVERING)
    draft = draft_of(Roster(drills={"c1": drill}), incident("c1", entry("web1")))
    repeats.count(draft, draft.records["c1"])
    assert draft.roster.failures == {}


def test_it_is_forgotten_after_the_window_over_a_change_of_leader() -> None:
    """The next leader has another clock: it goes on from what was written, at most ten minutes too long."""
    roster = Roster(failures={"c1-1": failure("c1", "web1")})
    written = tick(repeats.WRITTEN_EVERY_S, roster, tick(0.0, roster).timers).roster
    assert written is not None and written.failures["c1-1"].left_s == DAY_S - repeats.WRITTEN_EVERY_S
    taken_over = tick(7e6, written)
    assert taken_over.roster is None
    assert tick(7e6 + DAY_S, written, taken_over.timers).roster == Roster()


def test_none_is_forgotten_while_an_instance_waits_because_of_it() -> None:
    """What waits for an operator's word does not go by itself because a night has passed."""
    roster = Roster(failures={"c1-0": failure("c1", "web1", left_s=1.0), "c2-0": failure("c2", "other", left_s=1.0)})
    waits = entry("web1", InstanceState.WAITING, failed_hosts=("c1", "c2", "c3"))
    draft = draft_of(roster, incident("c3", waits), now_s=100.0)
    draft.timers = replace(draft.timers, waits={repeats.CLOCK: 0.0})
    repeats.run_on(draft)
    assert draft.roster.failures == {"c1-0": failure("c1", "web1", left_s=0.0)}


def test_switched_off_in_the_middle_it_lets_go_who_waits_because_of_it() -> None:
    """Without the rule nobody may wait for ever for a word that the operator has said he does not want to give."""
    off = replace(POLICY, repeat_window_s=0.0)
    roster = Roster(failures={host: failure(host, "web1") for host in ("c1", "c2", "c3")})
    waits = incident("c3", entry("web1", InstanceState.WAITING, failed_hosts=("c1", "c2", "c3")))
    draft = Draft(Snapshot(), Records({"c3": waits}, roster), Timers(0.0), off, Moment(0.0, AT))
    repeats.run_on(draft)
    repeats.look_back(draft)
    found = draft.records["c3"].instances["web1"]
    assert not found.is_doubted
    assert not repeats.why_kept_back(found, "c3", off)
    repeats.run_on(draft)
    assert not draft.roster.failures


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    """It is one key of the journal, and a whole site may fail in a day."""
    many = {f"c{n}-0": failure(f"c{n}", *(f"{n}-{i}" for i in range(1000)), left_s=1000.0 + n) for n in range(8)}
    draft = draft_of(Roster(failures=many), incident("d1", entry("web1")))
    repeats.count(draft, draft.records["d1"])
    kept = draft.roster.failures
    assert sum(len(found.instances) for found in kept.values()) <= repeats.MOST
    assert sorted(kept) == ["c4-0", "c5-0", "c6-0", "c7-0", "d1-1"]


def test_it_goes_last_and_keeps_nobody_waiting() -> None:
    """However important it is: those that it would take with it are more."""
    killer = entry("killer", failed_hosts=("c1", "c2"), priority="highest")
    others = entry("db1", priority="lowest", after=("killer",)), entry("web1")
    assert [i.name for i in restart_order((killer, *others))] == ["web1", "db1", "killer"]
    line = line_of((killer, *others))
    assert line.awaited(others[0]) == () and line.others_come
    assert not line_of((killer,)).others_come


def test_only_a_named_instance_is_let_go_and_each_time_anew() -> None:
    """Its reason tells how; once let go it does not wait again in this incident."""
    kept_back = entry("web1", failed_hosts=("c1", "c2", "c3"))
    assert "`hanode incident retry c3 web1` lets it go" in repeats.why_kept_back(kept_back, "c3", POLICY)
    assert repeats.why_kept_back(replace(kept_back, vouched=True), "c3", POLICY) == ""
    assert repeats.why_kept_back(replace(kept_back, failed_hosts=("c1", "c2")), "c3", POLICY) == ""
    assert repeats.why_kept_back(kept_back, "c3", replace(POLICY, repeat_limit=0)) == ""


def test_a_plan_knows_who_would_be_doubted() -> None:
    """`hanode plan` answers before the next host fails."""
    roster = Roster(failures={"c1-0": failure("c1", "web1")})
    assert repeats.if_it_failed(roster, "c2", ["web1", "db1"], POLICY) == {"web1": ("c1", "c2")}


def test_the_journal_keeps_it() -> None:
    """It belongs to no incident: the record of each one ends with its release."""
    roster = Roster(failures={"c1-1": failure("c1", "web1", rack="r1")})
    assert codec.from_text(Roster, "roster", codec.to_text(roster)) == roster
