"""Reports of incidents: figures that add up, and text of tenants that stays text in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml

from hanode.core.decisions import ABANDONED, OBSERVED, Closed
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Result
from hanode.core.records import Before, HostRecovery, InstanceRecovery, Proof, ProofKind
from hanode.engine.period import period
from hanode.engine.plain import csv_cell, one_line
from hanode.engine.review import Kind, review, spread
from hanode.engine.review_text import html, markdown
from tests.core.cli_stage import Leader, Terminal, told

RAN, STOPPED = Before("active", "running", False), Before("stopped", "shutdown", False)


def at(seconds: int) -> str:
    return f"2026-03-09T03:{seconds // 60:02}:{seconds % 60:02}Z"


def instance(number: int, state: InstanceState, ended_s: int, before: Before = RAN, project: str = "p1") -> InstanceRecovery:
    return InstanceRecovery(f"i-{number}", f"web{number}", state, "", before, project_id=project, target="c2", ours=True,
                            requested_at=at(30), ended_at=at(ended_s))


FENCED = HostRecovery(
    "c1", "c1-1", HostState.EVACUATING, "accounted for", at(15), cause="no sign of life for 15 s",
    last_beat_at="2026-03-09T03:00:00.000000",
    proof=Proof(ProofKind.DEVICE, "its power device read exactly off twice", at(25)), fenced_at=at(25), ended_at=at(1800),
    instances={one.instance_id: one for one in (
        instance(1, InstanceState.VERIFIED, 50, project="p2"), instance(2, InstanceState.VERIFIED, 70),
        instance(3, InstanceState.STUCK, 90), instance(4, InstanceState.VERIFIED, 60, before=STOPPED))})
WATCHED = replace(FENCED, incident="c1-0", observe_only=True, fenced_at="", instances={
    key: replace(one, state=InstanceState.PENDING, ended_at="", requested_at="") for key, one in FENCED.instances.items()})

HOSTILE = "=cmd|' /C calc'!A0\n\x1b[2J\x1b]0;pwned\x07 <script>alert(1)</script> | [x](http://evil) \u202eexe\r\",\";$(id)`id`"


# --------------------------------------------------------------------------- figures


def test_the_story_of_an_incident_adds_up() -> None:
    """Who reads it decides whether hanode is worth its place."""
    found = review(FENCED, 60.0, "released")
    assert (found.kind, found.recovered, found.within_target, found.lost) == (Kind.FENCED, 2, 1, 1)
    phases = {name: (s.count, s.p50_s, s.max_s) for name, s in found.phases.items()}
    assert phases == {
        "silent until suspected": (1, 15.0, 15.0), "suspected until proven dead": (1, 10.0, 10.0),
        "proven dead until asked of Nova": (4, 5.0, 5.0), "asked of Nova until it runs again": (3, 30.0, 40.0),
        "down in all": (2, 50.0, 70.0),
    }
    assert [what for _, what in found.timeline][:2] == ["last heartbeat that Nova saw", "suspected: no sign of life for 15 s"]
    assert found.timeline[-1] == (at(1800), "over: released")
    assert [when for when, _ in found.timeline[1:]] == sorted(when for when, _ in found.timeline[1:])


def test_only_who_ran_was_down() -> None:
    """A stopped instance lost nobody anything; one that is stuck is down until somebody helps it."""
    downs = {down.instance_id: (down.down_until, down.down_s) for down in review(FENCED, 60.0, "released").instances}
    assert downs == {"i-1": (at(50), 50.0), "i-2": (at(70), 70.0), "i-3": ("", None)}


@pytest.mark.parametrize(("record", "outcome", "kind"), [
    (FENCED, "", Kind.OPEN),
    (FENCED, "released", Kind.FENCED),
    (WATCHED, f"{OBSERVED}right", Kind.WOULD_RIGHT),
    (replace(WATCHED, proof=None), f"{OBSERVED}WRONG", Kind.WOULD_WRONG),
    (replace(WATCHED, proof=None), f"{ABANDONED}root: it was planned", Kind.WOULD_UNCLEAR),
    (replace(FENCED, fenced_at="", proof=None), "lives", Kind.FALSE_ALARM),
    (replace(FENCED, fenced_at="", proof=None, offs=(Result.REFUSED,)), "lives", Kind.FALSE_ALARM),
    (replace(FENCED, fenced_at="", proof=None, offs=(Result.DONE,)), "lives although", Kind.WRONG),
    (replace(FENCED, fenced_at="", proof=None, offs=(Result.DONE,)), f"{ABANDONED}root: it lives", Kind.ABANDONED),
    (replace(FENCED, fenced_at="", proof=None, cause=""), "was away and is back", Kind.REBOOTED),
])
def test_an_incident_is_counted_as_what_it_was(record: HostRecovery, outcome: str, kind: Kind) -> None:
    """Right and wrong are what an operator arms by."""
    assert review(record, 60.0, outcome).kind is kind


def test_a_host_that_never_failed_had_nobody_down() -> None:
    """Otherwise a wrong incident would be sold as time that was saved."""
    found = review(replace(WATCHED, proof=None), 60.0, f"{OBSERVED}WRONG")
    assert {down.down_s for down in found.instances} == {None}
    assert period([found], 60.0)["instance_seconds_that_would_have_been_saved"] == 0


def test_a_period_tells_what_was_saved() -> None:
    """Elsewhere from second 50 and 70 on instead of from 1800 on; watched only: three were down for 1800 s instead of 50."""
    told = period([review(FENCED, 60.0, "released"), review(WATCHED, 60.0, f"{OBSERVED}right")], 60.0)
    assert told["instance_seconds_saved"] == 1750 + 1730
    assert told["instance_seconds_that_would_have_been_saved"] == 3 * (1800 - 50)
    assert (told["fenced_right"], told["would_have_fenced_right"], told["would_have_fenced_wrong"]) == (1, 1, 0)
    assert (told["recovery_p50_s"], told["within_target"], told["instances_stuck_or_failed"]) == (50.0, 1, 1)


def test_a_percentile_was_really_measured() -> None:
    """Nearest rank, no interpolation."""
    found = spread([float(n) for n in range(1, 101)])
    assert found is not None and (found.p50_s, found.p90_s, found.p99_s, found.max_s) == (50.0, 90.0, 99.0, 100.0)
    assert spread([]) is None


def test_stamps_that_nobody_can_read_give_no_figure() -> None:
    """An old record has fewer stamps; a report of it must still be made."""
    found = review(replace(FENCED, last_beat_at="?", opened_at="", fenced_at="", ended_at=""), 60.0, "released")
    assert found.recovered == 0 and "down in all" not in found.phases
    assert markdown(found) and html(found)


# --------------------------------------------------------------------------- what is typed


@pytest.fixture
def past(leader: Leader) -> Leader:
    """A history with one incident, in which a tenant did his worst."""
    leader.leads(told())
    hostile = {**FENCED.instances, "i-1": replace(FENCED.instances["i-1"], name=HOSTILE)}
    assert leader.guard is not None
    leader.ledger.commit(leader.guard, closes=[Closed(replace(FENCED, instances=hostile), "released")])
    return leader


def test_who_was_down_goes_into_a_spreadsheet(hanode: Terminal, past: Leader) -> None:
    """Customers are told from when to when, by project; a name must not become a formula, nor a line of its own."""
    code, shown, said = hanode("incident show c1-1 --by-project -f csv")
    assert (code, said) == (0, "")
    rows = list(csv.DictReader(io.StringIO(shown), escapechar="\\"))
    assert [(row["project"], row["instance"], row["down_until"], row["down_s"]) for row in rows] == [
        ("p1", "i-2", at(70), "70.0"), ("p1", "i-3", "", ""), ("p2", "i-1", at(50), "50.0")]
    assert all(not str(cell).startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    assert "\x1b" not in shown and len(shown.splitlines()) == 4


@pytest.mark.parametrize("form", ["table", "value", "csv", "json", "yaml"])
def test_no_format_lets_a_name_command_the_terminal(hanode: Terminal, past: Leader, form: str) -> None:
    """A page of a terminal that was cleared by a tenant hides what the operator must see."""
    for line in ("incident show c1-1 --by-project", "incident list --all"):
        code, shown, _ = hanode(f"{line} -f {form}")
        assert code == 0 and not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", shown)
    if form in {"json", "yaml"}:
        rows = (json.loads if form == "json" else yaml.safe_load)(hanode(f"incident show c1-1 --by-project -f {form}")[1])
        assert HOSTILE in {row["name"] for row in rows}, "programs get it as it is"


def test_a_ticket_in_markdown_has_no_links_and_no_tags_of_tenants(hanode: Terminal, past: Leader) -> None:
    """It is pasted where it is rendered for people with more rights than the tenant."""
    code, shown, _ = hanode("incident show c1-1 --report md")
    assert code == 0 and shown.startswith("# c1: fenced: right")
    assert not re.search(r"(?<!\\)[<\[]", shown) and "\x1b" not in shown
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in shown.splitlines() if line.startswith(("| web", r"| =cmd"))}
    assert cells == {9}, "a bar in a name does not open a cell"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_a_page_has_only_our_tags(hanode: Terminal, past: Leader) -> None:
    """It is mailed around and opened from a disk, where no policy protects the reader."""
    code, shown, _ = hanode("incident show c1-1 --report html")
    tags = Tags()
    tags.feed(shown)
    assert code == 0 and tags.tags == {"html", "meta", "title", "style", "h1", "h2", "ul", "li", "table", "tr", "th", "td"}
    assert "&lt;script&gt;" in shown


def test_an_archive_is_one_line_of_json_for_each_incident(hanode: Terminal, past: Leader) -> None:
    """The journal forgets; an archive is written by a timer."""
    code, shown, _ = hanode("incident export")
    (line,) = shown.splitlines()
    assert code == 0 and json.loads(line)["incident"] == "c1-1"
    assert json.loads(hanode("incident show c1-1 --report json")[1]) == json.loads(line)
    assert hanode("incident export --since 1d")[1] == "", "it began long ago"


def test_a_period_is_reported(hanode: Terminal, past: Leader) -> None:
    """By programs too, by the option as by --target."""
    code, shown, _ = hanode("report --since 1000w -f json")
    assert code == 0 and json.loads(shown)["fenced_right"] == 1 and json.loads(shown)["target_s"] == 120.0
    assert json.loads(hanode("report --since 1000w --target 60s -f json")[1])["within_target"] == 1
    assert json.loads(hanode("report --since 1d -f json")[1])["incidents"] == 0


@pytest.mark.parametrize(("line", "said"), [
    ("incident show c1-1 --by-project -f shell", "-f shell cannot show"), ("incident show c1-1 -f csv", "csv is for rows"),
    ("report --since 3x", "is not a time such as"), ("incident show c9", "neither the host nor the id")])
def test_what_cannot_be_shown_says_what_can(hanode: Terminal, past: Leader, line: str, said: str) -> None:
    """Never a traceback."""
    code, _, complaint = hanode(line)
    assert code in {1, 2} and said in complaint


@pytest.mark.parametrize(("text", "shown"), [
    ("web-1", "web-1"), ("größe", "größe"), ("a\nb\x1b[1m", r"a\nb\x1b[1m"), ("\u202eexe", r"\u202eexe"), ("\u2028", r"\u2028"),
    ("\ud800", r"\ud800"), ("\U0001f468\u200d\U0001f4bb", "\U0001f468\u200d\U0001f4bb")])
def test_text_stays_on_its_line(text: str, shown: str) -> None:
    """Ordinary writing of every people is left as it is."""
    assert one_line(text) == shown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_a_spreadsheet_computes_nothing(text: str) -> None:
    """Whoever opens the list of a customer's instances runs nothing of the customer's."""
    assert not csv_cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))
