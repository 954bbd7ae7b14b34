"""What the web port tells: to load balancers, to programs, and to whoever asks for what is not there."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from hanode.cli.main import main
from hanode.core.decisions import Closed
from hanode.core.lifecycle import InstanceState
from hanode.engine.ledger import Ledger
from hanode.errors import Unreachable
from hanode.ports import Entry, Transaction
from hanode.web.site import Pulse, Site
from tests.web.conftest import CLOUD, Played, entry, recovery, told

HOSTILE = "<img src=x onerror=alert(1)>"


def test_status_is_what_the_command_prints(played: Played, tmp_path: Path) -> None:
    """One truth for the terminal and for programs."""
    played.publish(told(), recovery(entry("web", InstanceState.UNDERWAY, target="cn1")))
    (tmp_path / "hanode.conf").write_text(f"[journal]\nurl = sqlite://{tmp_path}/journal.db\n")
    stdout = io.StringIO()
    main(["status", "-f", "json", "--config-file", str(tmp_path / "hanode.conf")], stdout=stdout)
    answer = played.web.site.answer("/api/status")
    printed, served = json.loads(stdout.getvalue()), json.loads(answer.body)
    assert served.pop("sentences")[0] == printed.pop("sentences")[0]  # the others count the seconds
    assert served == printed and served["leader"] == "controller1" and served["office_until"] > served["renewed_at"]


def test_hosts_and_incidents_are_listed_with_all_that_is_known(played: Played) -> None:
    """The page and other programs need not read the journal's own format."""
    states = {"a": InstanceState.VERIFIED, "b": InstanceState.UNDERWAY, "c": InstanceState.STUCK}
    played.publish(told(exempt={"cn1": "drained"}), recovery(*(entry(name, state) for name, state in states.items())))
    hosts = json.loads(played.web.site.answer("/api/hosts").body)
    assert [(h["host"], h["verdict"], h["exempt"]) for h in hosts] == [("cn1", "HEALTHY", "drained"), ("cn2", "FAILED", "")]
    (incident,) = json.loads(played.web.site.answer("/api/incidents").body)
    assert (incident["host"], incident["total"], incident["safe"], incident["to_do"], incident["lost"]) == ("cn2", 3, 1, 1, 1)
    assert incident["instances"][1] | {"reason": ""} == {"id": "id-b", "name": "b", "state": "UNDERWAY", "target": "", "reason": ""}


def test_ended_incidents_are_listed_when_asked_for(played: Played) -> None:
    """The morning after."""
    played.publish(told(), recovery())
    ledger = Ledger(played.journal, CLOUD)
    record, guard = ledger.load().records.hosts["cn2"], ledger.read_standing().guard
    assert guard is not None
    ledger.commit(guard, closes=[Closed(record, "all instances run again")])
    assert json.loads(played.web.site.answer("/api/incidents").body) == []
    (ended,) = json.loads(played.web.site.answer("/api/incidents?all=1").body)
    assert (ended["state"], ended["sentence"]) == ("ended", "all instances run again")


def test_a_brake_is_told_with_its_reason_and_its_end(played: Played) -> None:
    """Whoever sees red wants to know for how long."""
    hold = {"name": "TOO_MANY", "reason": "5 of 8 hosts are suspect", "ends": "enough of them are back"}
    played.publish(told(holds=[hold]))
    assert json.loads(played.web.site.answer("/api/brake").body) == [hold]


def test_a_daemon_is_healthy_while_it_ticks_and_not_when_it_hangs() -> None:
    """A process that only exists protects nobody."""
    clock = [100.0]
    site = Site(lambda: clock[0])
    assert site.answer("/healthz").status == 200, "before the first tick it is connecting, and lives"
    site.pulse = Pulse("standby", True, 100.0, 30.0)
    clock[0] = 129.0
    assert site.answer("/healthz").status == site.answer("/readyz").status == 200
    clock[0] = 131.0
    assert site.answer("/healthz").status == site.answer("/readyz").status == 503
    assert b"no tick for 31 s" in site.answer("/healthz").body


@pytest.mark.parametrize(("pulse", "status", "words"), [
    (Pulse("waits for Keystone"), 503, "waits for Keystone"),
    (Pulse("leader", True, 0.0), 200, "leader"),
    (Pulse("standby", True, 0.0), 200, "standby"),
    (Pulse("standby", False, 0.0), 503, "the journal does not answer"),
    (Pulse("ending"), 503, "ending"),
])
def test_ready_is_who_leads_or_could(pulse: Pulse, status: int, words: str) -> None:
    """Whoever restarts controllers one by one waits for this."""
    site = Site()
    site.pulse = pulse
    answer = site.answer("/readyz")
    assert (answer.status, words in answer.body.decode()) == (status, True)


def test_before_it_is_connected_the_api_says_so(played: Played) -> None:
    """Metrics and health are there from the first second; what the leader published is not."""
    assert played.web.site.answer("/metrics").status == 200
    answer = played.web.site.answer("/api/status")
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "this daemon is not connected to its journal yet: starting")


class DeafJournal:
    def __init__(self) -> None:
        self.asked = 0

    def read(self, prefix: str) -> tuple[Entry, ...]:
        self.asked += 1
        raise Unreachable(f"etcd does not answer {prefix}")

    def revisions(self, prefix: str) -> dict[str, int]:
        raise AssertionError(f"the web port shows values, of {prefix} as well")

    def commit(self, transaction: Transaction) -> bool:
        raise AssertionError("the web port never writes")


def test_a_journal_that_does_not_answer_is_told_and_not_asked_by_everybody() -> None:
    """A sick etcd must not be made sicker by those who look, and old news must not look like news."""
    journal, site = DeafJournal(), Site()
    site.connect(journal, CLOUD)
    answers = [site.answer("/api/status") for _ in range(5)]
    assert {answer.status for answer in answers} == {503}
    assert b"etcd does not answer" in answers[0].body
    assert journal.asked == 1


def test_many_readers_are_one_to_the_journal(played: Played) -> None:
    """A page on every desk must not multiply the load of the leader's own journal."""
    played.publish(told(), recovery())
    asked: list[str] = []

    class Counting:
        def read(self, prefix: str) -> tuple[Entry, ...]:
            asked.append(prefix)
            return played.journal.read(prefix)

        def revisions(self, prefix: str) -> dict[str, int]:
            raise AssertionError(f"the web port shows values, of {prefix} as well")

        def commit(self, transaction: Transaction) -> bool:
            raise AssertionError("the web port never writes")

    site = Site()
    site.connect(Counting(), CLOUD)
    first = site.answer("/api/status")
    once = len(asked)
    assert site.answer("/api/hosts").status == first.status == 200
    assert len(asked) == once, "within a second nothing is read twice"


def test_nobody_leads_is_told_as_such(played: Played) -> None:
    """A page that goes on showing green tiles would be worse than none."""
    played.publish(told(), renewed_at="2020-01-01T00:00:00Z")
    served = json.loads(played.web.site.answer("/api/status").body)
    assert served["stale"] is True and served["leader"] is None and served["office_until"] is None


def test_names_of_others_leave_only_as_json_text(played: Played) -> None:
    """Instances are named by tenants."""
    played.publish(told(hosts={HOSTILE: told()["hosts"]["cn2"]}), recovery(entry(HOSTILE, InstanceState.PENDING)))
    for path in ("/api/hosts", "/api/incidents"):
        answer = played.web.site.answer(path)
        assert answer.content_type == "application/json" and HOSTILE in answer.body.decode()
    assert HOSTILE.encode() not in played.web.site.answer("/").body


def test_a_wrong_path_names_the_right_ones() -> None:
    """Nothing is served from the disk by its name."""
    for path in ("/nothing", "/../../etc/passwd", "/page.html", "//etc/passwd"):
        answer = Site().answer(path)
        assert answer.status == 404 and b"/api/status" in answer.body
