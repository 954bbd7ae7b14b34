"""`hanode incident replay`: what differs is the policy's doing, and what cannot be known is not claimed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from hanode.core.circumstances import Circumstances
from hanode.core.decisions import Closed
from hanode.core.records import HostRecovery
from hanode.engine import codec
from hanode.engine.codec import CorruptEntry, texts_of
from hanode.ports import Entry
from hanode.sim.scenario import play
from tests.core.cli_stage import DEAD, Leader, Terminal, told

NIGHT = """
policy tier_wait_s=30 priority_rules=*/db*:highest
timings spawn_s=60
hosts c1 c2 c3
servers db1 on c1 metadata=hanode:group=dbs,secret=of-the-tenant
servers dbhuge1 on c1 vcpus=33
servers web1 on c1
left-behind dbhuge1 because "no host is so large"
60 power-off c1
until 220
"""


@cache
def night() -> tuple[HostRecovery, Circumstances]:
    """One failure, as the daemon has recorded it."""
    (record,) = play(NIGHT).simulation.recoveries()
    assert record.circumstances is not None
    return record, record.circumstances


@pytest.fixture
def past(leader: Leader) -> Leader:
    leader.leads(told())
    assert leader.guard is not None
    leader.ledger.commit(leader.guard, closes=[Closed(night()[0], "released")])
    return leader


def replayed(hanode: Terminal, tmp_path: Path, conf: str, more: str = "") -> dict[tuple[str, str], dict[str, object]]:
    (tmp_path / "other.conf").write_text(conf)
    code, shown, _ = hanode(f"incident replay {night()[0].incident} --policy {tmp_path}/other.conf -f json {more}")
    assert code == 0
    return {(row["about"], row["decision"].partition(" to ")[0]): row for row in json.loads(shown)}


def test_another_order_is_shown_as_what_it_changes(hanode: Terminal, past: Leader, tmp_path: Path) -> None:
    """Without waiting for the database the web server is asked for half a minute earlier; the rest is as it was, and not shown."""
    same = "[DEFAULT]\nmode = act\n[priority]\nrules = */db*:highest\n"
    found = replayed(hanode, tmp_path, same)
    early = found["web1", "evacuate"]
    assert early["change"] == "earlier"
    assert float(str(early["then_s"])) - float(str(early["now_s"])) == pytest.approx(30.0, abs=2.0)
    assert not {("c1", "FENCED"), ("dbhuge1", "WAITING")} & found.keys()


def test_the_model_is_measured_by_what_really_happened(hanode: Terminal, past: Leader, tmp_path: Path) -> None:
    """An operator believes the difference of two runs as far as the first of them resembles the night."""
    found = replayed(hanode, tmp_path, "", "--all")
    fenced = found["c1", "FENCED"]
    assert fenced["change"] == "only then", "mode observe, the default, fences nobody"
    assert float(str(fenced["real_s"])) == pytest.approx(float(str(fenced["then_s"])), abs=6.0)


@pytest.mark.parametrize(("words", "said"), [
    ("replay compute7-1", "of compute7-1 no circumstances were kept"), ("replay c9", "neither the host nor the id"),
])
def test_what_cannot_be_played_again_is_refused(hanode: Terminal, leader: Leader, tmp_path: Path, words: str, said: str) -> None:
    """An incident of before this could be done says so."""
    leader.leads(told(), DEAD)
    code, _, error = hanode(f"incident {words} --policy {hanode.config}")
    assert (code, said in error) == (1, True), error


def test_a_file_with_a_mistake_in_it_is_named(hanode: Terminal, past: Leader, tmp_path: Path) -> None:
    """As at any start."""
    (tmp_path / "other.conf").write_text("[brake]\nhots = 3\n")
    code, _, error = hanode(f"incident replay {night()[0].incident} --policy {tmp_path}/other.conf")
    assert code == 2
    assert "other.conf: [brake] hots is not an option; did you mean hosts?" in error


def test_the_circumstances_survive_the_journal() -> None:
    """In a key of their own; the incident's own key, written with each step of each instance, stays small."""
    record, kept = night()
    texts = texts_of(record)
    beside, main = sorted(texts)
    assert len(texts[main]) < 10_000 > len(texts[beside])
    entries = [Entry(key, text, 1) for key, text in texts.items()]
    back = codec.records_in(entries)["c1"]
    assert back.circumstances is not None
    assert codec.to_text(back.circumstances) == codec.to_text(kept)
    with pytest.raises(CorruptEntry, match="circumstances is missing"):
        codec.records_in([entry for entry in entries if entry.key == main])


def test_of_a_tenants_texts_only_what_rules_read_is_kept() -> None:
    """Metadata may hold anything, and the journal is no place for it."""
    _, kept = night()
    assert {"hanode:group": "dbs"} in [dict(instance.metadata) for instance in kept.instances.values()]
    assert "secret" not in codec.to_text(kept)
