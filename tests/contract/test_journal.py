"""What does every journal promise, whatever it is kept in?"""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import fakeredis
import pytest
from redis.exceptions import WatchError

from hanode.adapters.etcd_client import Access, Address
from hanode.adapters.journal import open_journal
from hanode.adapters.journal.redis import RedisJournal
from hanode.adapters.journal.sqlite import SqliteJournal
from hanode.errors import Ambiguous, ConfigError, Refused, Unreachable
from hanode.ports import Entry, Journal, Transaction
from tests.contract.etcd_cluster import Certificates, EtcdCluster, enable_passwords, make_certificates, wait_until
from tests.contract.journals import PATIENT, Opener, RudeServer, closed_port

CREATE = Transaction({"key": 0}, {"key": "value"})


@pytest.fixture
def journal(opener: Opener) -> Journal:
    return opener()


def put(journal: Journal, **values: str) -> None:
    assert journal.commit(Transaction({}, values))


def entry(journal: Journal, key: str) -> Entry | None:
    return next((found for found in journal.read(key) if found.key == key), None)


def revision(journal: Journal, key: str) -> int:
    found = entry(journal, key)
    return found.revision if found else 0


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


# --------------------------------------------------------------------------- etcd: what a failure means


def impatient(*endpoints: str) -> Journal:
    return open_journal("etcd3+http://" + ",".join(endpoints), "test", Access(timeout_s=1.5))


def test_without_any_connection_nothing_happened() -> None:
    """Unreachable is a promise: the caller may repeat."""
    with closed_port() as nobody:
        with pytest.raises(Unreachable):
            impatient(nobody).commit(CREATE)
        with pytest.raises(Unreachable):
            impatient(nobody).read("")


@pytest.mark.parametrize("manner", ["silence", "reset", "garbage", "503", "500", "504"])
def test_a_commit_that_was_sent_and_not_answered_is_ambiguous_and_not_sent_again(manner: str, etcd: EtcdCluster) -> None:
    """It may have taken effect; sent again to the next member it could happen twice, or fail its own compare."""
    with RudeServer(manner) as rude:
        journal = impatient(rude.endpoint, etcd.members[0].endpoint)
        with pytest.raises(Ambiguous):
            journal.commit(CREATE)
        assert rude.requests == 1


@pytest.mark.parametrize("manner", ["silence", "reset", "garbage", "503"])
def test_a_read_that_was_not_answered_goes_to_the_next_member(manner: str, etcd: EtcdCluster) -> None:
    """Reading twice harms nobody, so a broken member costs no tick."""
    with RudeServer(manner) as rude:
        journal = open_journal(f"etcd3+http://{rude.endpoint},{etcd.members[0].endpoint}", "nobody", Access(timeout_s=10.0))
        assert journal.read("") == ()
        assert rude.requests == 1
        assert journal.read("") == ()
        assert rude.requests == 1, "the member that failed is not asked first again"


@pytest.mark.parametrize("manner", ["silence", "503"])
def test_a_read_that_nobody_answers_is_unreachable(manner: str) -> None:
    """For a read it is the same whether it was sent: nothing was changed."""
    with RudeServer(manner) as one, RudeServer(manner) as two, pytest.raises(Unreachable):
        impatient(one.endpoint, two.endpoint).read("")


def test_a_commit_goes_past_a_member_that_takes_no_connection(etcd: EtcdCluster) -> None:
    with closed_port() as nobody:
        journal = open_journal(f"etcd3+http://{nobody},{etcd.members[0].endpoint}", "past-the-dead", PATIENT)
        assert journal.commit(CREATE)


def test_what_etcd_refuses_did_not_happen(etcd: EtcdCluster) -> None:
    """Too large a value is a refusal with etcd's own words, not an outage."""
    journal = open_journal(etcd.url, "refused", PATIENT)
    with pytest.raises(Refused, match=r"larger than|too large"):
        journal.commit(Transaction({}, {"key": "x" * 3_000_000}))
    assert journal.read("") == ()


def test_the_environment_does_not_redirect_us(etcd: EtcdCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for the web must not get between hanode and its journal."""
    with closed_port() as nobody:
        monkeypatch.setenv("http_proxy", f"http://{nobody}")
        assert open_journal(etcd.url, "no-proxy", PATIENT).commit(CREATE)


def test_a_cluster_that_lost_a_member_goes_on(etcd_trio: EtcdCluster) -> None:
    """Killed while it was the one we talk to; reads and commits go on with the two that are left."""
    journal = open_journal(etcd_trio.url, "test", PATIENT)
    assert journal.commit(CREATE)
    etcd_trio.members[0].stop()
    wait_until(lambda: _works(journal), 60, "a commit on two of three members")
    assert [found.key for found in journal.read("")] == ["key", "late"]


def test_a_cluster_without_quorum_answers_nothing(etcd_trio: EtcdCluster) -> None:
    """One member alone must not serve a stale read: it would show an epoch that another leader has replaced."""
    journal = open_journal(etcd_trio.url, "test", PATIENT)
    assert journal.commit(CREATE)
    etcd_trio.members[0].stop()
    etcd_trio.members[1].stop()
    hasty = open_journal(etcd_trio.url, "test", Access(timeout_s=2.0))
    with pytest.raises(Unreachable):
        hasty.read("")
    with pytest.raises(Ambiguous):
        hasty.commit(Transaction({}, {"late": "x"}))


def _works(journal: Journal) -> bool:
    try:
        return journal.commit(Transaction({}, {"late": "x"}))
    except (Ambiguous, Unreachable):
        return False


# --------------------------------------------------------------------------- etcd: TLS and passwords


def test_tls_in_both_directions(tmp_path: Path) -> None:
    """With the right CA and client certificate it works; a server of another CA is not even sent the request."""
    ours, foreign = make_certificates(tmp_path / "ours"), make_certificates(tmp_path / "foreign")
    with EtcdCluster(tmp_path / "etcd", certificates=ours) as cluster:
        journal = open_journal(cluster.url, "tls", _tls(ours, ours))
        assert journal.commit(CREATE)
        assert [found.value for found in journal.read("")] == ["value"]
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            open_journal(cluster.url, "tls", _tls(foreign, ours)).commit(CREATE)
        with pytest.raises(Ambiguous):  # in TLS 1.3 the server's refusal of our certificate can come after the request
            open_journal(cluster.url, "tls", _tls(ours, foreign)).commit(CREATE)


def _tls(trusted: Certificates, shown: Certificates) -> Access:
    return Access(timeout_s=30.0, ca_file=str(trusted.ca), cert_file=str(shown.cert), key_file=str(shown.key))


def test_a_password_opens_only_our_keys_and_an_expired_token_is_renewed(tmp_path: Path) -> None:
    """A restarted etcd forgets its tokens; the next call must authenticate anew instead of losing the office."""
    with EtcdCluster(tmp_path / "etcd") as cluster:
        enable_passwords(cluster.members[0].endpoint)
        journal = open_journal(cluster.url, "test", Access(timeout_s=30.0, user="hanode", password="geheim"))
        assert journal.commit(CREATE)
        cluster.restart(cluster.members[0])
        assert journal.commit(Transaction({}, {"late": "x"}))
        assert [found.key for found in journal.read("")] == ["key", "late"]
        with pytest.raises(Refused, match=r"user 'hanode'.*password"):
            open_journal(cluster.url, "test", Access(timeout_s=30.0, user="hanode", password="wrong")).read("")
        with pytest.raises(Refused):
            open_journal(cluster.url, "test", PATIENT).read("")


def test_a_password_is_not_shown() -> None:
    """Tracebacks and debug logs print their arguments."""
    assert "geheim" not in repr(Access(user="hanode", password="geheim"))


# --------------------------------------------------------------------------- sqlite


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """It names projects and instances, and whoever writes it can have hosts powered off."""
    journal = SqliteJournal(tmp_path / "journal.db", "test")
    assert journal.commit(CREATE)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("journal.db*")} == {0o600}


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_named_when_opened(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"journal\.db.*moved away"):
        SqliteJournal(path, "test")


def test_a_missing_directory_is_named_when_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        SqliteJournal(tmp_path / "nowhere" / "journal.db", "test")


def test_a_file_that_another_process_keeps_locked_is_unreachable(tmp_path: Path) -> None:
    """Nothing was written, so the same commit may be tried again, and then works."""
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, "test", timeout_s=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unreachable, match=r"journal\.db"):
        journal.commit(CREATE)
    other.execute("ROLLBACK")
    other.close()
    assert journal.commit(CREATE)


def test_a_damage_that_comes_later_is_an_error_and_never_an_empty_answer(tmp_path: Path) -> None:
    """An empty answer would read as a journal without a single recovery."""
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, "test")
    assert journal.commit(CREATE)
    sabotage = sqlite3.connect(path)
    sabotage.execute("DROP TABLE entries")
    sabotage.close()
    with pytest.raises(Unreachable, match=r"journal\.db"):
        journal.read("")
    with pytest.raises(Unreachable, match=r"journal\.db"):
        journal.commit(CREATE)


def test_two_clusters_in_one_file_do_not_see_each_other(tmp_path: Path) -> None:
    one, two = SqliteJournal(tmp_path / "journal.db", "one"), SqliteJournal(tmp_path / "journal.db", "two")
    assert one.commit(CREATE)
    assert two.read("") == ()


# --------------------------------------------------------------------------- redis


def test_redis_out_of_reach_is_unreachable() -> None:
    server = fakeredis.FakeServer()
    journal = RedisJournal(fakeredis.FakeRedis(server=server, decode_responses=True), "test")
    server.connected = False
    with pytest.raises(Unreachable):
        journal.read("")
    with pytest.raises(Unreachable):
        journal.commit(CREATE)


def test_a_connection_lost_after_exec_is_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py calls it a WatchError like a refused one; taken for that, a commit that happened would be repeated."""
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    pipeline_type = type(client.pipeline())
    execute = pipeline_type.execute

    def lose_the_answer(self: object, *arguments: object) -> None:
        execute(self, *arguments)
        raise WatchError("A ConnectionError occurred while watching one or more keys")

    monkeypatch.setattr(pipeline_type, "execute", lose_the_answer)
    journal = RedisJournal(client, "test")
    with pytest.raises(Ambiguous):
        journal.commit(CREATE)
    assert revision(journal, "key") > 0


# --------------------------------------------------------------------------- the URL


@pytest.mark.parametrize(
    "url",
    [
        "mysql://db/hanode",
        "etcd3+http://",
        "etcd3+http://h1:port",
        "etcd3+http://user:secret@h1:2379",
        "etcd3+http://h1:2379/path",
        "sqlite://relative.db",
        "sqlite:///",
        "",
    ],
)
def test_a_wrong_url_names_the_option_and_the_remedy(url: str) -> None:
    """A typing error must not be found out at the first failure of a host."""
    with pytest.raises(ConfigError, match=r"\[journal\] url: .*"):
        open_journal(url, "test")


@pytest.mark.parametrize("cluster_id", ["", "a/b"])
def test_a_cluster_id_is_one_name(cluster_id: str) -> None:
    with pytest.raises(ConfigError, match=r"\[journal\] cluster_id"):
        open_journal("sqlite:///nowhere/journal.db", cluster_id)


def test_a_missing_certificate_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\[journal\] ca_file: /nowhere/ca\.pem"):
        open_journal("etcd3+https://h1:2379", "test", Access(ca_file="/nowhere/ca.pem"))


def test_endpoints_get_the_usual_port_and_may_be_ipv6() -> None:
    parsed = Address.parse("etcd3+https://h1,h2:2390,[fd00::1],[fd00::2]:2390")
    assert parsed == Address("https", ("h1:2379", "h2:2390", "[fd00::1]:2379", "[fd00::2]:2390"))
