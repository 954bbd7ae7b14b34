"""The words of an operator beyond one incident: pausing, watching, carrying the journal; and what is said when nobody can tell."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hanode.adapters import etcd_health
from hanode.adapters.journal.sqlite import SqliteJournal
from hanode.cli import asking, watch
from hanode.cli.base import Desk
from hanode.cli.main import main
from hanode.conf import build
from hanode.core.decisions import Closed
from hanode.core.lifecycle import HostState, InstanceState
from hanode.engine.codec import EPOCH, META, Epoch, Meta, Renewal
from hanode.engine.ledger import Ledger
from hanode.errors import Refused
from tests.core.cli_stage import DEAD, LONG_AGO, NOW, WAITS, Leader, Terminal, told

CLOUD = "http://keystone/v3 one"
UNREADABLE = {"name": "NOVA_UNREADABLE", "reason": "compute did not answer GET /os-services", "ends": "Nova answers os-services again"}

# --------------------------------------------------------------------------- pause


def test_a_pause_reaches_the_leader_with_reason_and_length(
    hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None]
) -> None:
    """It concerns no host, and it ends by itself."""
    leader.leads(told())
    answering(True, "paused")
    assert hanode("pause --for 2h --yes --reason switch")[0] == 0
    assert hanode("resume --yes --reason done")[0] == 0
    pause, resume = leader.heard
    assert (pause.verb, pause.host, pause.why, pause.for_s) == ("pause", "", "switch", 7200.0)
    assert (resume.verb, resume.host) == ("resume", "")


@pytest.mark.parametrize("time", ["2", "0h", "-1h", "2 h", "2w", "8d", "", "1.5h"])
def test_a_pause_without_a_sensible_end_is_refused(hanode: Terminal, leader: Leader, time: str) -> None:
    """Whoever forgets it must not leave the cloud unprotected for ever."""
    leader.leads(told())
    code, _, said = hanode("pause", f"--for={time}", "--yes", "--reason", "x")
    assert code == 2 and "usage: hanode pause" in said
    assert leader.ledger.load().commands == ()


def test_a_pause_says_who(hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None],
                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Several people share root; sudo still knows who it is."""
    monkeypatch.setenv("SUDO_USER", "alice")
    leader.leads(told())
    answering(True, "paused")
    assert hanode("pause --for 30m --yes --reason x")[0] == 0
    assert leader.heard[0].who == "alice"


# --------------------------------------------------------------------------- nobody can tell


@pytest.mark.parametrize("line", [
    "host show compute5", "host evacuate compute5 --yes --reason x", "brake release compute5 --yes --reason x"])
def test_while_nova_cannot_be_read_no_host_is_denied(hanode: Terminal, leader: Leader, line: str) -> None:
    """Right after a take-over the leader has no list: that it does not name a host says nothing about the host."""
    leader.leads({**told(), "hosts": {}, "holds": [UNREADABLE]})
    code, _, said = hanode(line)
    assert code == 1
    assert "cannot tell about compute5" in said and "NOVA_UNREADABLE" in said
    assert "is not a compute host" not in said


def test_a_host_that_nobody_knows_is_said_to_be_unknown(hanode: Terminal, leader: Leader) -> None:
    """With a list at hand, a typing error is one."""
    leader.leads(told())
    code, _, said = hanode("host show compute99")
    assert code == 1 and "compute99 is not a compute host that the leader knows" in said


def test_nobody_leads_names_both_causes(hanode: Terminal, leader: Leader) -> None:
    """Daemons may run and be unable to write the journal; starting another one does not help then."""
    leader.leads(told(compute7=WAITS), DEAD, renewed_at=LONG_AGO)
    code, _, said = hanode("host release compute7 --yes --reason x")
    assert code == 1
    assert "systemctl start hanode" in said and "none can write the journal (journalctl -u hanode" in said


def test_nobody_leads_because_etcd_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All daemons run; none can renew its office. The remedy is etcd's."""
    config = tmp_path / "hanode.conf"
    config.write_text("[journal]\nurl = etcd3+http://192.0.2.1:2379\n")
    monkeypatch.setattr(etcd_health, "read_health", lambda *_: (etcd_health.Health("192.0.2.1:2379", is_full=True),))
    desk = Desk(build.load([str(config)]), CLOUD, Ledger(SqliteJournal(tmp_path / "j.db", "default"), CLOUD))
    assert "etcd is out of space (NOSPACE at 192.0.2.1:2379)" in asking.why_nobody(desk)


# --------------------------------------------------------------------------- watch


def test_a_watch_tells_each_change_and_ends_with_the_incident(hanode: Terminal, leader: Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe: plain lines, no colours, each change once."""
    monkeypatch.setattr(watch, "EVERY_S", 0.01)
    leader.leads(told(compute7=WAITS), DEAD)
    stdout, seen = io.StringIO(), threading.Event()
    stdout.write = _telling(stdout, seen)  # type: ignore[method-assign]  # to know when the first line was printed

    def end_it() -> None:
        assert seen.wait(60.0)
        assert leader.guard is not None
        leader.ledger.commit(leader.guard, closes=[Closed(replace(DEAD, instances={}), "recovered")], forgets=["compute7"])

    ending = threading.Thread(target=end_it)
    ending.start()
    code = main(["incident", "watch", "compute7", "--config-file", str(hanode.config)], stdout=stdout)
    ending.join(60.0)
    lines = stdout.getvalue().splitlines()
    assert code == 0
    assert lines[0].startswith("compute7-1: NEEDS_OPERATOR. 0 of 1 instances run again")
    assert lines[1:] == ["compute7-1: ended", "no incident is open"]


def _telling(stream: io.StringIO, seen: threading.Event) -> Callable[[str], int]:
    def write(text: str) -> int:
        seen.set()
        return io.StringIO.write(stream, text)

    return write


def test_a_watch_of_nothing_ends_at_once(hanode: Terminal, leader: Leader) -> None:
    """A script can begin with it."""
    leader.leads(told())
    assert hanode("incident watch")[:2] == (0, "no incident is open\n")


def test_a_watch_that_ends_badly_says_so(hanode: Terminal, leader: Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that goes on after a recovery must know that an instance was left behind."""
    monkeypatch.setattr(watch, "EVERY_S", 0.0)
    stuck = replace(DEAD, instances={"i-1": replace(DEAD.instances["i-1"], state=InstanceState.STUCK)})
    leader.leads(told(compute7=WAITS), stuck)
    monkeypatch.setattr(watch, "_looks", lambda _, __, seen: _seen_once(seen, stuck))
    assert hanode("incident watch compute7")[0] == 1


def _seen_once(seen: dict[str, object], record: object) -> list[dict[str, str]]:
    seen["compute7-1"] = record
    return [{"compute7-1": "STUCK"}]


# --------------------------------------------------------------------------- the journal


def test_the_journal_can_be_carried_to_a_new_one(hanode: Terminal, leader: Leader, tmp_path: Path) -> None:
    """From one controller's file to an etcd of three: incidents and history come along, office and commands do not."""
    leader.leads(told(compute7=WAITS), DEAD)
    assert leader.guard is not None
    ended = replace(DEAD, host="compute8", incident="compute8-1", state=HostState.RELEASING)
    leader.ledger.commit(leader.guard, closes=[Closed(ended, "recovered")])
    assert hanode("journal export", str(tmp_path / "copy"))[0] == 0
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600

    new = _configured(hanode, tmp_path, "new.db")
    code, shown, _ = new("journal import", str(tmp_path / "copy"))
    assert (code, shown.splitlines()) == (0, ["2 keys were imported; start hanode now"]), shown
    ledger = Ledger(SqliteJournal(tmp_path / "new.db", "default"), CLOUD)
    assert ledger.load().records.hosts == {"compute7": DEAD}
    assert [closed.record for closed in ledger.read_history()] == [ended]
    standing = ledger.read_standing()
    assert standing.epoch is not None and standing.epoch.resigned and standing.epoch.term == 2
    assert ledger.read_status() is None and ledger.load().commands == ()


def test_a_journal_in_use_takes_no_import(hanode: Terminal, leader: Leader, tmp_path: Path) -> None:
    """Two histories in one journal: hosts would be fenced for incidents that never were."""
    leader.leads(told(), DEAD)
    assert hanode("journal export", str(tmp_path / "copy"))[0] == 0
    code, _, said = hanode("journal import", str(tmp_path / "copy"))
    assert code == 1 and "not empty (controller1 holds office (term 1))" in said
    assert leader.ledger.load().records.hosts == {"compute7": DEAD}


def test_a_daemon_that_takes_office_meanwhile_ends_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first look must not be at half of the records while the rest is still being written."""
    from hanode.engine import carry

    journal = SqliteJournal(tmp_path / "j.db", "default")
    text = json.dumps({"format": carry.FORMAT, "cloud": CLOUD, "term": 4, "exported_at": NOW, "entries": {"roster": '{"schema": 1}'}})
    real = Ledger.take_office

    def overtaken(self: Ledger, *given: object) -> object:
        guard = real(self, *given)  # type: ignore[arg-type]  # passed on as it came
        rival = Ledger(journal, CLOUD)
        real(rival, rival.read_standing(), Epoch(9, "rival", "controller2", NOW), Renewal(9, "rival", 0, NOW, 15.0))
        return guard

    monkeypatch.setattr(Ledger, "take_office", overtaken)
    with pytest.raises(Refused, match="a daemon took office"):
        carry.imported(journal, text, NOW)
    assert {entry.key for entry in journal.read("")} == {EPOCH, META, "renewed"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "hanode journal 99"}',
                                  '{"format": "hanode journal 1", "cloud": "c", "term": 1, "entries": {"recovery/x": "{}"}}',
                                  '{"format": "hanode journal 1", "cloud": "c", "term": 1, "entries": {"recovery/x": 5}}'])
def test_what_is_no_export_is_refused_and_nothing_is_written(hanode: Terminal, tmp_path: Path, text: str) -> None:
    """Every record is read before any is written."""
    (tmp_path / "copy").write_text(text)
    new = _configured(hanode, tmp_path, "new.db")
    code, _, said = new("journal import", str(tmp_path / "copy"))
    assert code == 1 and said.startswith("hanode: ")
    assert SqliteJournal(tmp_path / "new.db", "default").read("") == ()


def test_an_export_overwrites_nothing(hanode: Terminal, leader: Leader, tmp_path: Path) -> None:
    """Yesterday's copy is the one that is needed when today's journal is broken."""
    leader.leads(told())
    (tmp_path / "copy").write_text("precious")
    assert hanode("journal export", str(tmp_path / "copy"))[0] == 1
    assert (tmp_path / "copy").read_text() == "precious"


def _configured(hanode: Terminal, tmp_path: Path, name: str) -> Terminal:
    config = tmp_path / f"{name}.conf"
    config.write_text(f"[journal]\nurl = sqlite://{tmp_path / name}\n")
    return replace(hanode, config=config)


def test_the_exported_identity_is_that_of_the_cloud(hanode: Terminal, leader: Leader) -> None:
    """An import must not make another cloud's journal of it."""
    leader.leads(told())
    code, shown, _ = hanode("journal export -")
    assert code == 0 and json.loads(shown)["cloud"] == Meta(CLOUD, NOW).identity


# --------------------------------------------------------------------------- the shell

COMPLETION = """
_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}; words=("${COMP_WORDS[@]}"); }
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_hanode; echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(("typed", "offered"), [
    (["hanode", "inc"], {"incident"}),
    (["hanode", "incident", "w"], {"watch"}),
    (["hanode", "config", ""], {"check", "expiry", "show", "propose", "rights", "policy"}),
    (["hanode", "pause", "--f"], {"--for"}),
])
def test_the_shell_completes_commands_and_options(tmp_path: Path, typed: list[str], offered: set[str]) -> None:
    """`hanode complete` writes it for bash; with a stand-in for the one function that it needs of bash-completion."""
    stdout = io.StringIO()
    assert main(["complete"], stdout=stdout) == 0
    (tmp_path / "completion").write_text(stdout.getvalue())
    done = subprocess.run(["bash", "-c", COMPLETION, "bash", str(tmp_path / "completion"), *typed], capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"]}, check=False)
    assert set(done.stdout.split()) == offered, done.stderr


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """A script is written from the help."""
    stdout = io.StringIO()
    with contextlib.suppress(SystemExit):
        main(["pause", "--help"], stdout=stdout)
    shown = stdout.getvalue() + capsys.readouterr().out
    assert "Exit codes: 0 done; 1 refused, or not done; 2" in shown
