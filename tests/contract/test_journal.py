"""What does every journal promise, whatever it is kept in?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from hanode.ports import Journal, Transaction
from tests.contract.journals import CREATE, Opener, put, revision


@pytest.fixture
def journal(opener: Opener) -> Journal:
    return opener()


# --------------------------------------------------------------------------- what holds for all of them


def test_a_key_that_was_never_written_is_not_there(journal: Journal) -> None:
    """An empty journal reads as empty; only a failed read raises."""
    assert journal.read("") == ()


def test_what_was_committed_is_read_back(journal: Journal) -> None:
    """Also through another access: the next leader is another process."""
    put(journal, one="1", two="2")
    assert [(found.key, found.value) for found in journal.read("")] == [("one", "1"), ("two", "2")]


def test_another_access_reads_the_same(opener: Opener) -> None:
    put(opener(), one="1")
    assert opener().read("one") == opener().read("")


def test_a_read_returns_the_keys_of_its_prefix_in_order(journal: Journal) -> None:
    """The prefix is text, not a folder: `recovery` finds `recovery/` and `recovery-part/` in one read."""
    assert journal.commit(Transaction({}, dict.fromkeys(["b/2", "b/1", "b-part/1", "a/1", "c"], "x")))
    assert [found.key for found in journal.read("b")] == ["b-part/1", "b/1", "b/2"]
    assert [found.key for found in journal.read("b/")] == ["b/1", "b/2"]


def test_the_revisions_are_those_of_the_entries(journal: Journal) -> None:
    """Whoever needs no values must see the same keys, in the same order, as whoever reads them."""
    put(journal, **{"b/2": "x" * 100_000, "b-part/1": "y", "c": "z"})
    put(journal, **{"b/1": "later"})
    assert list(journal.revisions("b").items()) == [(found.key, found.revision) for found in journal.read("b")]
    assert list(journal.revisions("b")) == ["b-part/1", "b/1", "b/2"]
    assert journal.revisions("d") == {}


def test_zero_means_that_the_key_must_not_exist(journal: Journal) -> None:
    """Creating is a compare, too: of two that create, one gets it."""
    assert journal.commit(CREATE)
    assert not journal.commit(CREATE)


def test_a_failed_compare_changes_nothing(journal: Journal) -> None:
    """One wrong revision among right ones, and neither puts nor deletes happen."""
    put(journal, guard="1", record="old", other="old")
    before = journal.read("")
    wrong = {"guard": revision(journal, "guard"), "record": revision(journal, "record") + 1}
    assert not journal.commit(Transaction(wrong, {"record": "new", "fresh": "new"}, ("other",)))
    assert journal.read("") == before


def test_a_right_compare_changes_everything(journal: Journal) -> None:
    put(journal, record="old", other="old")
    assert journal.commit(Transaction({"record": revision(journal, "record")}, {"record": "new"}, ("other",)))
    assert [(found.key, found.value) for found in journal.read("")] == [("record", "new")]


def test_a_compared_key_need_not_be_written(journal: Journal) -> None:
    """The epoch is compared by every write of a leader and written by none; its revision stays."""
    put(journal, epoch="1")
    before = revision(journal, "epoch")
    assert journal.commit(Transaction({"epoch": before}, {"record": "x"}))
    assert revision(journal, "epoch") == before


def test_a_revision_moves_with_each_write_even_of_the_same_text(journal: Journal) -> None:
    """A renewal that writes the same text is a sign of life all the same."""
    put(journal, key="same")
    before = revision(journal, "key")
    put(journal, key="same")
    assert revision(journal, "key") > before


def test_a_revision_is_never_used_again_after_a_delete(journal: Journal) -> None:
    """Else a leader that slept through delete and create would take the new record for the one it knew."""
    put(journal, key="first")
    first = revision(journal, "key")
    assert journal.commit(Transaction({}, {}, ("key",)))
    put(journal, key="second")
    assert revision(journal, "key") > first
    assert not journal.commit(Transaction({"key": first}, {"key": "third"}))


def test_revisions_tell_the_order_across_keys(journal: Journal) -> None:
    """The oldest answers and history are the ones with the lowest revisions."""
    put(journal, b="1")
    put(journal, a="2")
    put(journal, c="3")
    assert [found.key for found in sorted(journal.read(""), key=lambda found: found.revision)] == ["b", "a", "c"]


def test_deleting_what_is_not_there_is_no_error(journal: Journal) -> None:
    assert journal.commit(Transaction({}, {"other": "x"}, ("key",)))


def test_utf_8_round_trips_in_keys_and_values(journal: Journal) -> None:
    """Instance names are free text."""
    assert journal.commit(Transaction({"recovery/Köln-🎉": 0}, {"recovery/Köln-🎉": "Größe 🚀\n\"'\\"}))
    found = journal.read("recovery/Köln")
    assert [(one.key, one.value) for one in found] == [("recovery/Köln-🎉", "Größe 🚀\n\"'\\")]
    assert journal.commit(Transaction({"recovery/Köln-🎉": found[0].revision}, {}, ("recovery/Köln-🎉",)))
    assert journal.read("") == ()


def test_a_hundred_operations_fit_into_one_transaction(journal: Journal) -> None:
    """The limit that the ledger packs by; all compared, most written, some deleted, beside the epoch."""
    put(journal, epoch="1", **{f"old-{number}": "x" for number in range(20)})
    compares = {found.key: found.revision for found in journal.read("")} | {f"new-{number}": 0 for number in range(80)}
    puts = {f"new-{number}": "y" for number in range(80)}
    assert journal.commit(Transaction(compares, puts, tuple(f"old-{number}" for number in range(20))))
    assert len(journal.read("new-")) == 80
    assert journal.read("old-") == ()


def test_big_values_round_trip(journal: Journal) -> None:
    """A full instance table, and a read of more than gRPC's usual 4 MB."""
    value = "ä" * 250_000
    for number in range(12):
        put(journal, **{f"big-{number:02}": value})
    assert [found.value for found in journal.read("big-")] == [value] * 12


def test_of_two_commits_with_the_same_compare_exactly_one_happens(opener: Opener) -> None:
    """This is what makes an epoch: many may try, one takes office. Also within one process, from several threads."""
    accesses = [opener() for _ in range(4)]
    put(accesses[0], epoch="0")
    for _ in range(10):
        race = Transaction({"epoch": revision(accesses[0], "epoch")}, {"epoch": "taken"})
        assert sorted(_together([partial(accesses[number % 4].commit, race) for number in range(8)])) == [False] * 7 + [True]


def _together(calls: Sequence[Callable[[], bool]]) -> list[bool]:
    """Run the calls in threads that all start at once."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], bool]) -> bool:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_a_read_shows_one_moment(opener: Opener) -> None:
    """A record and its parts are written together and must be seen together."""
    put(opener(), **{"pair-a": "0", "pair-b": "0"})
    done = threading.Event()

    def write() -> None:
        journal = opener()
        for number in range(100):
            put(journal, **{"pair-a": str(number), "pair-b": str(number)})
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reader = opener()
    while not done.is_set():
        first, second = reader.read("pair-")
        assert (first.value, first.revision) == (second.value, second.revision)
    writer.join()
