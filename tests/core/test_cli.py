"""The command line: what an operator sees, what is refused, and what a script can rely on."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hanode.cli import asking
from hanode.cli.main import COMMANDS, main
from hanode.core.decisions import Closed
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.records import HostRecovery
from tests.core.cli_stage import DEAD, LONG_AGO, NOW, WAITS, Leader, Terminal, told

# --------------------------------------------------------------------------- status


def test_status_says_first_that_all_is_well(hanode: Terminal, leader: Leader) -> None:
    """Who is woken reads five lines: armed, down, leader, what to type."""
    leader.leads(told())
    code, shown, _ = hanode("status")
    assert code == 0
    assert shown.splitlines()[0] == "hanode is ARMED: failed hosts are fenced and their instances restarted (mode act)."
    assert shown.splitlines()[1] == "Nothing is down; 1 host known."
    assert shown.splitlines()[2].startswith("Leader: controller1 (term 1), office renewed ")
    assert shown.splitlines()[3] == "You need not type anything."


def test_status_says_what_to_type_for_a_host_that_waits(hanode: Terminal, leader: Leader) -> None:
    """The remedy is copied, not looked up."""
    leader.leads(told(compute7=WAITS), DEAD)
    code, shown, _ = hanode("status")
    assert code == 0
    assert "Not well: compute7 FAILED (no sign of life for 61 s)" in shown
    assert "compute7: NEEDS_OPERATOR" in shown and "0 of 1 instances run again" in shown
    assert "You must act: hanode host confirm-fenced compute7" in shown


def test_status_names_the_hold_and_what_ends_it(hanode: Terminal, leader: Leader) -> None:
    """`Nobody is fenced` without a reason reads like a defect."""
    leader.leads({**told(), "holds": [{"name": "STORM", "reason": "9 of 20 hosts fell silent", "ends": "they are seen up"}]})
    assert "Nobody is fenced now, STORM: 9 of 20 hosts fell silent. Ends: they are seen up." in hanode("status")[1]


def test_a_status_that_nobody_renews_is_shown_as_old(hanode: Terminal, leader: Leader) -> None:
    """After the leader's death its last `all is well` stays in the journal for ever."""
    leader.leads(told(), renewed_at=LONG_AGO)
    code, shown, _ = hanode("status")
    assert code == 0
    assert shown.startswith("NOBODY LEADS, so nothing is protected")
    assert "ARMED" not in shown
    assert hanode("host list")[2].startswith("hanode: STALE")


@pytest.mark.parametrize(("status", "records", "renewed_at", "code", "word"), [
    (told(), [], NOW, 0, "OK"),
    (told(compute7={"verdict": "SUSPECT", "reason": "silent"}), [], NOW, 1, "ATTENTION"),
    ({**told(), "unprotected": {"compute1": "no answer"}}, [], NOW, 1, "ATTENTION"),
    ({**told(), "unprotected": {"compute1": "no answer"}, "muted": {"compute1": "muted by bob"}}, [], NOW, 0, "OK"),
    ({**told(), "quarantined": {"compute1": "it lied"}}, [], NOW, 1, "ATTENTION"),
    (told(compute7=WAITS), [DEAD], NOW, 2, "CRITICAL"),
    (told(), [], LONG_AGO, 3, "UNKNOWN"),
], ids=["well", "suspect", "unprotected", "muted", "quarantined", "waits for a person", "nobody leads"])
def test_check_exits_with_the_severity(hanode: Terminal, leader: Leader, status: dict[str, Any], records: list[HostRecovery],
                                       renewed_at: str, code: int, word: str) -> None:
    """The convention of every monitoring system: 0 ok, 1 warning, 2 critical, 3 unknown."""
    leader.leads(status, *records, renewed_at=renewed_at)
    assert hanode("status --check -f value -c severity")[:2] == (code, word + "\n")


def test_an_instance_that_hanode_cannot_help_is_critical(hanode: Terminal, leader: Leader) -> None:
    """The host is done, the customer's machine is not."""
    stuck = replace(DEAD.instances["i-1"], state=InstanceState.STUCK)
    leader.leads(told(), replace(DEAD, state=HostState.EVACUATING, instances={"i-1": stuck}))
    code, shown, _ = hanode("status --check")
    assert code == 2
    assert "hanode incident show compute7" in shown


def test_programs_get_the_same_as_json(hanode: Terminal, leader: Leader) -> None:
    """Lists stay lists."""
    leader.leads(told(compute7=WAITS), DEAD)
    read = json.loads(hanode("status -f json")[1])
    assert (read["mode"], read["leader"], read["needs_operator"]) == ("act", "controller1", ["compute7"])
    assert read["cloud"] == "http://keystone/v3 one"


def test_whose_fencing_would_fail_is_told_with_what_to_type(hanode: Terminal, leader: Leader) -> None:
    """The failure that nobody notices before the night it is needed."""
    devices = {"unprotected": {"compute1": "no answer"}, "quarantined": {"compute2": "it read off"}, "muted": {"compute3": "muted by bob"}}
    leader.leads({**told(compute2=WAITS | {"state": "WATCHED"}), **devices})
    shown = hanode("status")[1]
    assert "Unprotected, for fencing would fail: compute1 (no answer)." in shown
    assert "You must act: hanode fence check compute1" in shown
    assert "You must act: hanode fence adopt compute2" in shown
    assert "compute3: muted by bob" in shown
    assert "would fail: no answer" in hanode("host show compute1")[1]


# --------------------------------------------------------------------------- what is wrong outside


def test_a_wrong_configuration_is_one_line_and_exit_code_2(hanode: Terminal) -> None:
    """A traceback hides the one line that helps."""
    hanode.config.write_text("[jurnal]\n")
    code, shown, said = hanode("status")
    assert (code, shown) == (2, "")
    assert said == f"hanode: {hanode.config}: [jurnal] is not a group of hanode; did you mean journal?\n"
    assert hanode("status --check")[0] == 3, "for monitoring that is: cannot tell"


def test_a_journal_out_of_reach_is_one_line_and_exit_code_3(hanode: Terminal) -> None:
    """Nothing is known then, which is not the same as nothing being wrong."""
    hanode.config.write_text("[journal]\nurl = etcd3+http://127.0.0.1:9\ntimeout_s = 0.5\n")
    code, _, said = hanode("status")
    assert code == 3
    assert said.count("\n") == 1 and said.startswith("hanode: ")


def test_looking_never_creates_the_journal(hanode: Terminal, tmp_path: Path) -> None:
    """A file made by root's `hanode status` could not be written by the daemon's user."""
    code, _, said = hanode("host list")
    assert code == 3 and "there is no journal" in said
    assert not (tmp_path / "journal.db").exists()


def test_a_journal_that_no_leader_has_used_says_so(hanode: Terminal, leader: Leader) -> None:
    """The usual cause is a cluster_id that differs from the daemon's."""
    code, _, said = hanode("status")
    assert code == 3 and "this cluster_id" in said


# --------------------------------------------------------------------------- lists


def test_hosts_are_listed_with_verdict_and_reason(hanode: Terminal, leader: Leader) -> None:
    """One table instead of a log."""
    leader.leads(told(compute7=WAITS), DEAD)
    rows = json.loads(hanode("host list -f json")[1])
    assert [(row["host"], row["verdict"]) for row in rows] == [("compute1", "HEALTHY"), ("compute7", "FAILED")]
    assert hanode("host list --unwell -f value -c host")[1] == "compute7\n"


def test_a_host_is_shown_with_its_evidence(hanode: Terminal, leader: Leader) -> None:
    """A verdict is believed when one sees what it rests on."""
    leader.leads(told(compute7=WAITS), DEAD)
    assert "power: unknown: no answer from 192.0.2.7" in hanode("host show compute7")[1]
    assert json.loads(hanode("host show compute7 -f json")[1])["evidence"]["heartbeat"] == "silent for 61 s"
    assert hanode("host show compute8")[0] == 1


def test_a_host_is_shown_with_each_signal_and_what_it_counted_for(hanode: Terminal, leader: Leader) -> None:
    """A line for each for people, an object for each for programs."""
    heard = {"signal": "probe storage", "seen_by": "ctl2", "said": "answers", "age_s": 3.2, "times": 4, "counts_for": "life"}
    unread = {"signal": "power", "seen_by": "leader", "said": "not read", "age_s": None, "times": 0, "counts_for": "nothing yet"}
    leader.leads(told(compute7={**WAITS, "signals": [heard, unread]}), DEAD)
    said = hanode("host show compute7")[1]
    assert "probe storage (ctl2): answers 3 s ago, 4 times: life" in said
    assert "power (leader): not read: nothing yet" in said
    assert json.loads(hanode("host show compute7 -f json")[1])["signals"] == [heard, unread]


def test_incidents_are_listed_open_and_ended(hanode: Terminal, leader: Leader) -> None:
    """What happened last month is asked by somebody every month."""
    leader.leads(told(), DEAD)
    assert leader.guard is not None
    old = replace(DEAD, host="compute3", incident="compute3-1")
    leader.ledger.load()
    leader.ledger.commit(leader.guard, closes=[Closed(old, "released")])
    assert hanode("incident list -f value -c incident")[1] == "compute7-1\n"
    assert hanode("incident list --all -f value -c incident -c state")[1] == "compute3-1 ended\ncompute7-1 NEEDS_OPERATOR\n"
    assert "ended: released" in hanode("incident show compute3-1")[1]
    assert "web (i-1): PENDING" in hanode("incident show compute7")[1]


def test_holds_are_listed(hanode: Terminal, leader: Leader) -> None:
    """An empty list is the normal state."""
    leader.leads(told())
    assert hanode("brake show -f json") == (0, "[]\n", "")


# --------------------------------------------------------------------------- the operator's word


def test_a_confirmation_is_accepted_only_by_the_leaders_answer(
    hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 0 means that the leader took it over, not that it was written down."""
    monkeypatch.setenv("SUDO_USER", "ada")
    leader.leads(told(compute7=WAITS), DEAD)
    answering(True, "compute7 is taken for dead")
    code, shown, _ = hanode("host confirm-fenced compute7", typed="compute7\npower cable pulled\n")
    assert code == 0
    assert "heartbeat: silent for 61 s" in shown, "the evidence is shown before the question"
    assert shown.rstrip().endswith("Accepted: compute7 is taken for dead")
    heard = leader.heard[0]
    assert (heard.verb, heard.host, heard.incident) == ("confirm-fenced", "compute7", "compute7-1")
    assert (heard.who, heard.why) == ("ada", "power cable pulled")


def test_a_refusal_by_the_leader_is_an_error(
    hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None]
) -> None:
    """Between the operator's look and the leader's, the host may have come back."""
    leader.leads(told(compute7=WAITS), DEAD)
    answering(False, "compute7 answers the probe")
    code, _, said = hanode("host confirm-fenced compute7 --yes --reason", "dead")
    assert code == 1
    assert "Refused by the leader: compute7 answers the probe" in said


@pytest.mark.parametrize(("host", "typed", "said"), [
    ("compute1", "compute1\nwhy\n", "compute1 does not wait for an operator: it is WATCHED"),
    ("compute8", "compute8\nwhy\n", "compute8 is not a compute host that the leader knows"),
    ("compute7", "compute1\nwhy\n", "that is not 'compute7'"),
    ("compute7", "yes\nwhy\n", "that is not 'compute7'"),
    ("compute7", "compute7\n\n", "no reason was given"),
    ("compute7", None, "without a terminal, --yes and --reason TEXT are needed"),
])
def test_a_confirmation_is_refused_before_the_leader_hears_of_it(
    hanode: Terminal, leader: Leader, host: str, typed: str | None, said: str
) -> None:
    """The one command that can run instances twice: every doubt ends it."""
    leader.leads(told(compute7=WAITS), DEAD)
    code, _, errors = hanode(f"host confirm-fenced {host}", typed=typed)
    assert code == 1
    assert said in errors
    assert leader.ledger.load().commands == ()


def test_a_script_needs_a_reason(hanode: Terminal, leader: Leader) -> None:
    """`--yes` skips the questions, not the answers."""
    leader.leads(told(compute7=WAITS), DEAD)
    code, _, said = hanode("host confirm-fenced compute7 --yes")
    assert code == 1 and "--reason TEXT is needed" in said


def test_without_a_leader_no_word_is_taken(hanode: Terminal, leader: Leader) -> None:
    """Nobody would check it against the world as it is now."""
    leader.leads(told(compute7=WAITS), DEAD, renewed_at=LONG_AGO)
    code, _, said = hanode("host confirm-fenced compute7 --yes --reason dead")
    assert code == 1 and "nobody leads now" in said
    assert leader.ledger.load().commands == ()


def test_an_unanswered_word_is_not_called_done(hanode: Terminal, leader: Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader may die between our look and its answer."""
    monkeypatch.setattr(asking, "wait_s", lambda _: 0.3)
    leader.leads(told(compute7=WAITS), DEAD)
    code, _, said = hanode("host confirm-fenced compute7 --yes --reason dead")
    assert code == 1
    assert "Not answered within" in said and "nothing has been done yet" in said


@pytest.mark.parametrize(("line", "verb", "instance"), [
    ("host release compute7", "release", ""),
    ("host evacuate compute7", "evacuate", ""),
    ("incident approve compute7", "approve", ""),
    ("incident abandon compute7-1", "abandon", ""),
    ("incident retry compute7 i-1", "retry", "i-1"),
    ("brake release compute7", "release-hold", ""),
    ("fence adopt compute7", "fence-adopt", ""),
    ("fence mute compute7 --for 2h", "fence-mute", ""),
])
def test_every_word_reaches_the_leader_with_who_and_why(
    hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None], line: str, verb: str, instance: str
) -> None:
    """The history answers `who did that, and why?` a month later."""
    leader.leads(told(compute7=WAITS), DEAD)
    answering(True, "done")
    assert hanode(f"{line} --yes --as bob --reason repaired")[0] == 0
    heard = leader.heard[0]
    assert (heard.verb, heard.host, heard.instance_id, heard.why) == (verb, "compute7", instance, "repaired")
    assert heard.who.startswith("bob (login ")


def test_every_command_teaches_by_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody reads a manual page at night, but everybody copies an example."""
    for name, command in sorted(COMMANDS.items()):
        stdout = io.StringIO()
        with contextlib.suppress(SystemExit):
            assert main([*name.split(), "--help"], stdout=stdout) == 0
        shown = stdout.getvalue() + capsys.readouterr().out
        assert f"  hanode {name}" in shown.split("Example:\n")[-1], f"{name} has no example"
        assert command.__doc__


def test_no_arguments_show_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of cliff's interactive shell, from which people do not find out."""
    stdout = io.StringIO()
    with contextlib.suppress(SystemExit):
        assert main([], stdout=stdout) == 0
    assert "confirm-fenced" in stdout.getvalue() + capsys.readouterr().out
