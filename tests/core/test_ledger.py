"""What is kept in the journal, and what guards it?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

import pytest

from hanode.core.decisions import Closed
from hanode.core.model import Answer
from hanode.core.records import HostRecovery, Roster
from hanode.engine import codec
from hanode.engine.codec import PARTS_LIMIT, CorruptEntry, Epoch, Renewal
from hanode.engine.ledger import ANSWERS_KEPT, BYTES_LIMIT, KEYS_LIMIT, ForeignJournal, Guard, Ledger, joined
from hanode.errors import Ambiguous, Deposed, JournalConflict, Refused, Unreachable
from hanode.ports import Entry, Transaction
from hanode.sim.journal import MemoryJournal, Space
from tests.core.ledgers import CLOUD, Counting, command, recovery, take_office


@pytest.fixture
def space() -> Space:
    return Space()


@pytest.fixture
def journal(space: Space) -> Counting:
    return Counting(space)


@pytest.fixture
def ledger(journal: Counting) -> Ledger:
    return Ledger(journal, CLOUD)


@pytest.fixture
def guard(ledger: Ledger) -> Guard:
    return take_office(ledger)


# --------------------------------------------------------------------------- reading


def test_an_empty_journal_holds_nothing(ledger: Ledger) -> None:
    """Nobody has led yet, or somebody has wiped it: hosts with our marker in Nova are then told by having no record."""
    book = ledger.load()
    assert book.records.hosts == {}
    assert book.epoch is None


def test_the_journal_of_another_cloud_is_refused(ledger: Ledger, guard: Guard, space: Space) -> None:
    """Hosts have the same names in many clouds."""
    foreign = Ledger(MemoryJournal(space), "https://elsewhere/v3 RegionOne")
    with pytest.raises(ForeignJournal, match=r"belongs to the cloud https://keystone\.example"):
        foreign.load()
    with pytest.raises(ForeignJournal):
        foreign.take_office(foreign.read_standing(), Epoch(2, "x", "n9", "T"), Renewal(2, "x", 0, "T", 15.0))
    assert ledger.epoch_stands(guard)


def test_a_failed_read_raises_and_is_never_an_empty_book(space: Space) -> None:
    """An empty book would let the engine forget every recovery."""

    def broken(moment: str, operation: str) -> None:
        raise Unreachable("no journal")

    with pytest.raises(Unreachable):
        Ledger(MemoryJournal(space, broken), CLOUD).load()


# --------------------------------------------------------------------------- writing


def test_the_next_leader_reads_what_was_committed(ledger: Ledger, guard: Guard, space: Space) -> None:
    roster = Roster(frozenset({"c1", "c2"}), {"c3": "storm"})
    ledger.commit(guard, [recovery("c1"), recovery("c2")], roster=roster, status={"leader": "n1", "hosts": 2})
    other = Ledger(MemoryJournal(space), CLOUD)
    book = other.load()
    assert book.records.hosts == {"c1": recovery("c1"), "c2": recovery("c2")}
    assert book.records.roster == roster
    assert other.read_status() == {"schema": 1, "leader": "n1", "hosts": 2}


def test_one_tick_is_one_transaction_when_it_fits(ledger: Ledger, guard: Guard, journal: Counting) -> None:
    """Then there is no prefix at all; each record compares its own revision, and all compare the epoch."""
    ledger.commit(guard, [recovery("c1"), recovery("c2")])
    ledger.load()
    journal.committed.clear()
    ledger.commit(guard, [recovery("c1", reason="later")], [Closed(recovery("c2"), "released")], roster=Roster())
    (only,) = journal.committed
    assert only.compares["epoch"] == guard.revision
    assert set(only.compares) == {"epoch", "recovery/c1", "recovery/c2", "roster"}
    assert only.compares["recovery/c1"] > 0


def test_commits_may_follow_each_other_without_a_load(ledger: Ledger, guard: Guard) -> None:
    """A commit does not tell its revisions; they are learned before the next."""
    for number in range(3):
        ledger.commit(guard, [recovery("c1", reason=f"step {number}")], roster=Roster(frozenset({str(number)})))
    book = ledger.load()
    assert book.records.hosts["c1"].reason == "step 2"
    assert book.records.roster.seen == {"2"}
    ledger.commit(guard, closes=[Closed(recovery("c1"), "released")])
    ledger.commit(guard, [recovery("c1", reason="again")])
    assert ledger.load().records.hosts["c1"].reason == "again"


def test_a_large_table_is_kept_in_parts(ledger: Ledger, guard: Guard, space: Space) -> None:
    """Whole again when read; parts that are not needed any more go in the transaction that shrinks it."""
    ledger.commit(guard, [recovery("c1", 25), recovery("c10", 11)])
    assert sorted(key for key in space.entries if key.startswith("recovery")) == [
        "recovery-part/c1/1", "recovery-part/c1/2", "recovery-part/c1/3", "recovery-part/c10/1", "recovery-part/c10/2",
        "recovery/c1", "recovery/c10",
    ]  # fmt: skip
    assert ledger.load().records.hosts["c1"] == recovery("c1", 25)
    ledger.commit(guard, [recovery("c1", 11)])
    assert ledger.load().records.hosts["c1"] == recovery("c1", 11)
    ledger.commit(guard, [recovery("c1", 10)])
    assert sorted(key for key in space.entries if key.startswith("recovery-part/c1/")) == []
    ledger.commit(guard, closes=[Closed(recovery("c1", 10), "released"), Closed(recovery("c10", 11), "released")])
    assert not [key for key in space.entries if key.startswith("recovery")]
    closed = sorted(ledger.read_history(), key=lambda one: one.record.host)
    assert closed == [Closed(recovery("c1", 10), "released"), Closed(recovery("c10", 11), "released")]


def test_a_step_of_one_instance_does_not_write_the_others(ledger: Ledger, guard: Guard, journal: Counting) -> None:
    """A wave of a thousand is some thousand such steps. But the main key is always written: its revision guards the whole record."""
    record = recovery("c1", 100)
    ledger.commit(guard, [record])
    last = sorted(record.instances)[-1]
    changed = replace(record, instances={**record.instances, last: replace(record.instances[last], reason="new")})
    ledger.commit(guard, [changed])
    assert sorted(journal.committed[-1].puts) == ["recovery-part/c1/10", "recovery/c1"]
    assert sum(map(len, journal.committed[-1].puts.values())) < sum(map(len, journal.committed[-2].puts.values())) / 8
    assert ledger.load().records.hosts["c1"] == changed


def test_a_record_is_never_split_however_many_instances_it_has(ledger: Ledger, guard: Guard, journal: Counting) -> None:
    """Closed and opened anew in one tick, too: half a table would be a host whose instances are forgotten. etcd takes 128 keys."""
    ledger.commit(guard, [recovery("c1", 5000)])
    assert len(journal.committed[-1].puts) == PARTS_LIMIT + 1
    ledger.commit(guard, [recovery("c1", 9)], [Closed(recovery("c1", 5000), "released")])
    assert len(journal.committed[-1].puts) + len(journal.committed[-1].deletes) <= KEYS_LIMIT
    assert (ledger.load().records.hosts["c1"], ledger.read_history()) == (recovery("c1", 9), (Closed(recovery("c1", 5000), "released"),))


def test_a_table_that_an_earlier_version_wrote_is_read(ledger: Ledger, guard: Guard, space: Space) -> None:
    """It kept the first three hundred instances with their host, and went on in parts of as many."""
    with patch.object(codec, "TABLE_LIMIT", 300):
        ledger.commit(guard, [recovery("c1", 301)])
    main, first = (json.loads(space.entries[key].value) for key in ("recovery/c1", "recovery-part/c1/1"))
    text = json.dumps({**main, "parts": 1, "record": {**main["record"], "instances": first["instances"]}})
    space.entries["recovery/c1"] = replace(space.entries["recovery/c1"], value=text)
    rest = space.entries.pop("recovery-part/c1/2")
    space.entries["recovery-part/c1/1"] = replace(rest, key="recovery-part/c1/1")
    assert ledger.load().records.hosts["c1"] == recovery("c1", 301)


def test_a_missing_part_is_corruption(ledger: Ledger, guard: Guard, space: Space) -> None:
    """Never a shorter table: its instances would be forgotten."""
    ledger.commit(guard, [recovery("c1", 25)])
    del space.entries["recovery-part/c1/1"]
    with pytest.raises(CorruptEntry, match="recovery-part/c1/1 is missing"):
        ledger.load()


def test_what_does_not_fit_goes_in_several_transactions_each_guarded(
    ledger: Ledger, guard: Guard, journal: Counting
) -> None:
    """A storm of hosts: writes first, closes after them, every one under the epoch."""
    ledger.commit(guard, [recovery("old")])
    ledger.load()
    journal.committed.clear()
    hosts = [recovery(f"c{number:03}", 1) for number in range(250)]
    ledger.commit(guard, hosts, [Closed(recovery("old"), "released")])
    assert len(journal.committed) == 3
    assert all(one.compares["epoch"] == guard.revision for one in journal.committed)
    assert all(len(one.puts) + len(one.deletes) <= KEYS_LIMIT for one in journal.committed)
    assert [one for one in journal.committed if one.deletes] == journal.committed[-1:]
    assert len(ledger.load().records.hosts) == 250


def test_a_transaction_stays_below_the_size_that_etcd_takes(ledger: Ledger, guard: Guard, journal: Counting) -> None:
    ledger.commit(guard, [recovery(f"c{number}", 300, padding="x" * 1000) for number in range(5)])
    sizes = [sum(len(text.encode()) for text in one.puts.values()) for one in journal.committed]
    assert len(sizes) >= 3
    assert max(sizes) <= BYTES_LIMIT


def test_any_prefix_of_a_commit_is_a_journal_that_loads(space: Space) -> None:
    """Killed after any transaction: hosts written are there, a host is open or closed and never neither."""
    hosts = [recovery(f"c{number:03}", 1) for number in range(250)]
    closes = [Closed(recovery(f"old{number}"), "released") for number in range(3)]
    for survivors in range(4):
        space = Space()
        journal = Counting(space)
        ledger = Ledger(journal, CLOUD)
        guard = take_office(ledger)
        ledger.commit(guard, [closed.record for closed in closes])
        ledger.load()
        _commit_and_die(ledger, journal, guard, hosts, closes, survivors)
        after = Ledger(MemoryJournal(space), CLOUD)
        opened, history = after.load().records.hosts, {closed.record.host for closed in after.read_history()}
        assert all((closed.record.host in opened) != (closed.record.host in history) for closed in closes)
        assert len(opened.keys() - {closed.record.host for closed in closes}) in {0, 100, 200, 250}


def _commit_and_die(
    ledger: Ledger, journal: Counting, guard: Guard, hosts: Sequence[HostRecovery], closes: Sequence[Closed], survivors: int
) -> None:
    allowed = len(journal.committed) + survivors
    commit = journal.commit

    def dying(transaction: Transaction) -> bool:
        if len(journal.committed) >= allowed:
            raise KeyboardInterrupt
        return commit(transaction)

    journal.commit = dying  # type: ignore[method-assign]  # the process dies here
    if survivors < 3:
        with pytest.raises(KeyboardInterrupt):
            ledger.commit(guard, hosts, closes)
    else:
        ledger.commit(guard, hosts, closes)


def test_a_forgotten_suspect_leaves_no_trace(ledger: Ledger, guard: Guard) -> None:
    ledger.commit(guard, [recovery("c1")])
    ledger.commit(guard, forgets=["c1", "never-seen"])
    assert ledger.load().records.hosts == {}
    assert ledger.read_history() == ()


def test_a_host_may_end_one_incident_and_begin_another_in_one_tick(ledger: Ledger, guard: Guard) -> None:
    """The old one is in the history, the new one is open, and both happen together."""
    ledger.commit(guard, [recovery("c1")])
    again = replace(recovery("c1"), incident="c1@2")
    ledger.commit(guard, [again], [Closed(recovery("c1"), "came back")])
    assert ledger.load().records.hosts == {"c1": again}
    assert [closed.record.incident for closed in ledger.read_history()] == ["c1@1"]


def test_the_history_keeps_the_newest(journal: Counting) -> None:
    """It must not grow for ever; large tables go with all their parts."""
    ledger = Ledger(journal, CLOUD, history_kept=3)
    guard = take_office(ledger)
    for number in range(5):
        ledger.commit(guard, closes=[Closed(replace(recovery("c1", 301), incident=f"c1@{number}"), "released")])
    assert [closed.record.incident for closed in ledger.read_history()] == ["c1@2", "c1@3", "c1@4"]
    assert {entry.key.split("/")[1] for entry in journal.read("history-part/")} == {"c1@2", "c1@3", "c1@4"}


def test_an_incident_ends_without_reading_the_history_of_others(space: Space) -> None:
    """Two hundred incidents of 250 instances are tens of megabytes: reading them takes longer than a tick may."""
    asked: list[str] = []

    class Watched(Counting):
        def read(self, prefix: str) -> tuple[Entry, ...]:
            asked.append(prefix)
            return super().read(prefix)

        def revisions(self, prefix: str) -> dict[str, int]:
            return {entry.key: entry.revision for entry in super().read(prefix)}

    ledger = Ledger(Watched(space), CLOUD, history_kept=1)
    guard = take_office(ledger)
    for number in range(3):
        ledger.commit(guard, closes=[Closed(replace(recovery("c1"), incident=f"c1@{number}"), "released")])
    assert not [prefix for prefix in asked if prefix.startswith("history")]
    assert [closed.record.incident for closed in ledger.read_history()] == ["c1@2"]


# --------------------------------------------------------------------------- guards


def test_a_deposed_leader_changes_nothing(ledger: Ledger, guard: Guard, space: Space) -> None:
    """The old one was only slow; its write must fail even though its own records are untouched."""
    ledger.commit(guard, [recovery("c1")])
    ledger.load()
    successor = Ledger(MemoryJournal(space), CLOUD)
    take_office(successor, "owner-2")
    before = dict(space.entries)
    with pytest.raises(Deposed, match="term 2"):
        ledger.commit(guard, [recovery("c1", reason="late"), recovery("c2")], status={"leader": "n1"})
    assert space.entries == before


def test_a_wiped_journal_deposes(ledger: Ledger, guard: Guard, space: Space) -> None:
    """Without an epoch nobody is in office."""
    space.entries.clear()
    with pytest.raises(Deposed, match="wiped"):
        ledger.commit(guard, [recovery("c1")])
    assert space.entries == {}


def test_a_record_that_changed_meanwhile_is_a_conflict(ledger: Ledger, guard: Guard, space: Space) -> None:
    """Our office stands, but what was decided rests on an old record: decide anew."""
    ledger.commit(guard, [recovery("c1")])
    ledger.load()
    assert MemoryJournal(space).commit(Transaction({}, {"recovery/c1": codec.to_text(Roster())}))
    before = dict(space.entries)
    with pytest.raises(JournalConflict, match="recovery/c1"):
        ledger.commit(guard, [recovery("c1", reason="mine"), recovery("c2")])
    assert space.entries == before


def test_a_record_that_we_wrote_and_somebody_changed_is_a_conflict_too(ledger: Ledger, guard: Guard, space: Space) -> None:
    """Learning the revision after our own write must not hide a foreign one."""
    ledger.commit(guard, [recovery("c1")])
    assert MemoryJournal(space).commit(Transaction({}, {"recovery/c1": "{}"}))
    with pytest.raises(JournalConflict):
        ledger.commit(guard, [recovery("c1", reason="mine")])


def test_a_lost_answer_to_a_write_that_happened_is_success(ledger: Ledger, guard: Guard, journal: Counting) -> None:
    """Read back once: every key as we put it, every deleted key gone."""
    ledger.commit(guard, [recovery("c1")])
    journal.raise_after = Ambiguous("timeout")
    ledger.commit(guard, [recovery("c2")], [Closed(recovery("c1"), "released")])
    assert set(ledger.load().records.hosts) == {"c2"}


def test_a_write_that_did_not_happen_stays_ambiguous(ledger: Ledger, guard: Guard, journal: Counting) -> None:
    """It may still arrive: only a fresh load tells what to decide from."""
    journal.raise_before = Ambiguous("timeout")
    with pytest.raises(Ambiguous):
        ledger.commit(guard, [recovery("c1")])
    assert ledger.load().records.hosts == {}


def test_an_ambiguous_write_of_a_deposed_leader_is_deposed(ledger: Ledger, guard: Guard, journal: Counting, space: Space) -> None:
    take_office(Ledger(MemoryJournal(space), CLOUD), "owner-2")
    journal.raise_before = Ambiguous("timeout")
    with pytest.raises(Deposed):
        ledger.commit(guard, [recovery("c1")])


def test_a_restored_journal_does_not_take_an_old_guard_for_its_own(ledger: Ledger, guard: Guard, space: Space) -> None:
    """A journal that counts its revisions anew may show the same number under another owner."""
    epoch = Epoch(1, "owner-2", "n2", "T")
    space.entries["epoch"] = Entry("epoch", codec.to_text(epoch), guard.revision)
    assert not ledger.epoch_stands(guard)


def test_a_renewal_needs_the_epoch_and_the_last_renewal_as_seen(ledger: Ledger, guard: Guard, space: Space) -> None:
    """Each alone stops it: another epoch, or a renewal that came in between."""
    seen = ledger.read_standing()
    stale = replace(guard, revision=guard.revision + 1)
    assert not ledger.renew(stale, seen, Renewal(1, "owner-1", 1, "T", 15.0))
    assert ledger.renew(guard, seen, Renewal(1, "owner-1", 1, "T", 15.0))
    assert not ledger.renew(guard, seen, Renewal(1, "owner-1", 2, "T", 15.0))


def test_of_two_candidates_with_the_same_view_one_takes_office(space: Space) -> None:
    one, two = Ledger(MemoryJournal(space), CLOUD), Ledger(MemoryJournal(space), CLOUD)
    seen = one.read_standing()
    assert two.take_office(seen, Epoch(1, "b", "n2", "T"), Renewal(1, "b", 0, "T", 15.0)) is not None
    assert one.take_office(seen, Epoch(1, "a", "n1", "T"), Renewal(1, "a", 0, "T", 15.0)) is None


# --------------------------------------------------------------------------- operators


def test_a_command_is_left_by_anyone_and_answered_once(ledger: Ledger, guard: Guard, space: Space) -> None:
    """Consumed in the transaction that answers it, so that it is never carried out twice."""
    operator = Ledger(MemoryJournal(space), CLOUD)
    operator.submit_command(command("k1"))
    assert ledger.load().commands == (command("k1"),)
    assert operator.read_answer("k1") is None
    answer = Answer(command("k1"), True, "c1 is taken for dead")
    ledger.commit(guard, [recovery("c1")], answers=[answer])
    assert operator.read_answer("k1") == answer
    assert ledger.load().commands == ()
    assert ledger.load().answers == (answer,)


def test_a_command_id_is_used_once(ledger: Ledger, guard: Guard) -> None:
    """Also after it was answered: a repeated submission must not act again."""
    ledger.submit_command(command("k1"))
    with pytest.raises(Refused):
        ledger.submit_command(command("k1"))
    ledger.load()
    ledger.commit(guard, answers=[Answer(command("k1"), False, "no")])
    with pytest.raises(Refused):
        ledger.submit_command(command("k1"))


def test_a_command_whose_submission_got_no_answer_is_found_again(ledger: Ledger, journal: Counting) -> None:
    journal.raise_after = Ambiguous("timeout")
    ledger.submit_command(command("k1"))
    journal.raise_before = Ambiguous("timeout")
    with pytest.raises(Ambiguous):
        ledger.submit_command(command("k2"))


def test_only_the_newest_answers_are_kept(ledger: Ledger, guard: Guard) -> None:
    for number in range(ANSWERS_KEPT + 5):
        ledger.commit(guard, answers=[Answer(command(f"k{number:03}"), True, "yes")])
    kept = [answer.command.command_id for answer in ledger.load().answers]
    assert kept == [f"k{number:03}" for number in range(5, ANSWERS_KEPT + 5)]


def test_commands_are_read_in_the_order_they_came(ledger: Ledger) -> None:
    """Not by their ids: an operator's second thought comes second."""
    for command_id in ("k9", "k1", "k5"):
        ledger.submit_command(command(command_id))
    assert [one.command_id for one in ledger.load().commands] == ["k9", "k1", "k5"]


def test_units_are_joined_in_order_and_never_split() -> None:
    units = [Transaction({}, {f"{number}-{part}": "x" for part in range(30)}) for number in range(7)]
    batches = list(joined(units))
    assert [len(batch.puts) for batch in batches] == [90, 90, 30]
    assert [key for batch in batches for key in batch.puts] == [key for unit in units for key in unit.puts]
