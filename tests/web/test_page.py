"""The status page as a browser shows it: headless Chromium reads it from a real port."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.records import HostRecovery, Proof, ProofKind
from tests.web.conftest import FAILED, HEALTHY, Played, entry, recovery, told

LIMIT_S = 120.0
BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
HOSTILE = "<img src=x onerror=document.title='owned'>\"'&</td><script>document.title='owned'</script>"
PICTURE = "HANODE_WRITE_PICTURE"
"""Set to a file, the incident below is written there: so docs/status-page.png is made."""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt install chromium")


def browse(tmp_path: Path, *words: str) -> str:
    assert BROWSER is not None
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
               f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=5000", "--window-size=1180,980", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env={**os.environ, "HOME": str(tmp_path)})
    return ended.stdout


def dom(played: Played, tmp_path: Path) -> str:
    return browse(tmp_path, "--dump-dom", played.open() + "/")


def words(document: str) -> str:
    """What a person reads."""
    body = document.split("<body", 1)[1]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def incident() -> HostRecovery:
    ready = [entry(f"shop-web-{n}", InstanceState.VERIFIED, target=f"cn{4 + n % 3}") for n in range(1, 8)]
    busy = [
        entry("shop-db-1", InstanceState.UNDERWAY, target="cn5"), entry("shop-db-2", InstanceState.REQUESTED, target="cn6"),
        entry("build-runner", InstanceState.WAITING, reason="no host can take it: room: no room for 8192 MEMORY_MB (5)"),
        entry("test-vm", InstanceState.SKIPPED, reason="is PAUSED: Nova does not evacuate it"),
    ]
    return recovery(*ready, *busy, fenced_at="2026-03-09T03:15:00Z", proof=Proof(ProofKind.DEVICE, "off, twice", "2026-03-09T03:15:00Z"))


def night() -> dict[str, object]:
    hosts = {f"cn{n}": HEALTHY for n in range(1, 13)} | {"cn2": FAILED}
    hosts["cn9"] = {**HEALTHY, "verdict": "SUSPECT", "reason": "service silent for 21 s, power on, probe silent: not yet certain"}
    hosts["cn11"] = {**HEALTHY, "verdict": "AGENT_DOWN", "reason": "service silent for 95 s, but the host itself answers"}
    hosts["cn12"] = {**HEALTHY, "verdict": "EXEMPT"}
    return told(hosts=hosts, exempt={"cn12": "drained for maintenance"})


def test_a_running_incident_is_seen_at_a_glance(played: Played, tmp_path: Path) -> None:
    """Who leads, until when, armed or not, how far it is, and every host with a word beside its colour."""
    played.publish(night(), incident())
    shown = dom(played, tmp_path)
    for said in (
        "ARMED", "controller1 leads (term 3), until", "7 of 11 instances run again, 3 to do, 0 need you", "✓ proven off", "evacuate",
        "cn9 SUSPECT", "cn11 AGENT_DOWN", "cn12 EXEMPT drained for maintenance", "cn2 FAILED, EVACUATING",
        "Hosts (12, 3 not well)", "build-runner WAITING", "asks again every 2 s",
    ):
        assert said in words(shown)
    assert re.search(r'<progress max="11"[^>]*>', shown) or 'max="11"' in shown
    if os.environ.get(PICTURE):
        browse(tmp_path, f"--screenshot={os.environ[PICTURE]}", f"{played.url}/")


def test_a_brake_is_red_with_its_reason_and_what_ends_it(played: Played, tmp_path: Path) -> None:
    """Nobody should have to guess why nothing happens."""
    played.publish(told(holds=[{"name": "TOO_MANY", "reason": "5 of 8 hosts are suspect", "ends": "enough of them are back"}]))
    assert "BRAKE TOO_MANY: nobody is fenced now. 5 of 8 hosts are suspect. Ends: enough of them are back." in words(dom(played, tmp_path))


def test_a_host_that_waits_for_a_person_comes_with_the_command(played: Played, tmp_path: Path) -> None:
    """The page changes nothing; it says what to type, and where."""
    waiting = recovery(entry("web", InstanceState.PENDING), state=HostState.NEEDS_OPERATOR, reason="its power device does not answer")
    played.publish(told(needs_operator=["cn2"]), waiting)
    shown = words(dom(played, tmp_path))
    assert "hanode host confirm-fenced cn2" in shown and "power off: needs you" in shown


def test_nobody_leads_is_the_first_thing_to_see(played: Played, tmp_path: Path) -> None:
    """Green tiles of an hour ago are no news."""
    played.publish(told(), renewed_at="2020-01-01T00:00:00Z")
    shown = dom(played, tmp_path)
    assert "NOBODY LEADS, nothing is protected" in words(shown) and "<title>NOBODY LEADS - hanode</title>" in shown


def test_hostile_names_stay_text(played: Played, tmp_path: Path) -> None:
    """Tenants name their instances; an operator's browser must not obey them."""
    hosts = {HOSTILE: {**FAILED, "reason": HOSTILE, "zone": HOSTILE}, "cn2": {**HEALTHY, "verdict": HOSTILE}}
    hold = {"name": HOSTILE, "reason": HOSTILE, "ends": HOSTILE}
    bad = recovery(entry(HOSTILE, InstanceState.STUCK, reason=HOSTILE, target=HOSTILE), host="cn-bad", reason=HOSTILE)
    played.publish(told(hosts=hosts, holds=[hold], exempt={"cn2": HOSTILE}, mode=HOSTILE), bad)
    shown = dom(played, tmp_path)
    assert words(shown).count("document.title='owned'") >= 10, "it is all there, as text"
    assert "<title>owned" not in shown and "<img" not in shown and shown.count("<script") == 1


def test_a_page_that_hears_nothing_says_that_it_is_old(played: Played, tmp_path: Path) -> None:
    """Before the daemon is connected, as after it is lost."""
    shown = dom(played, tmp_path)
    assert "This page is old. this daemon is not connected to its journal yet" in words(shown)
