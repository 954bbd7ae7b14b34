"""What does a failure of etcd, sqlite or redis mean, and which URLs, certificates and passwords open a journal?"""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fakeredis
import pytest
from redis.exceptions import WatchError

from hanode.adapters.etcd_client import Access, Address
from hanode.adapters.journal import open_journal
from hanode.adapters.journal.redis import RedisJournal
from hanode.adapters.journal.sqlite import SqliteJournal
from hanode.errors import Ambiguous, ConfigError, Refused, Unreachable
from hanode.ports import Journal, Transaction
from tests.contract.etcd_cluster import Certificates, EtcdCluster, enable_passwords, make_certificates, wait_until
from tests.contract.journals import CREATE, PATIENT, RudeServer, closed_port, revision

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


def test_a_new_file_may_be_opened_by_several_at_the_same_moment(tmp_path: Path) -> None:
    """A daemon and an operator's command: sqlite itself does not wait for the one change that makes the file a journal."""
    for number in range(30):
        with ThreadPoolExecutor(4) as pool:
            path = tmp_path / f"{number}.db"
            for journal in list(pool.map(lambda _, path=path: SqliteJournal(path, "x"), range(4))):
                journal.close()



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
