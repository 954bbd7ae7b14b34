"""The leader looks by itself whether everything is still as it must be: the real command, against the embedded cloud."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hanode import metrics
from hanode.adapters.daily_check import DailyCheck, Rhythm
from hanode.core.news import News, Phase
from hanode.errors import Unreachable
from hanode.sim.cloud import EmbeddedCloud
from tests.core.cli_stage import Terminal

LIMIT_S = 120.0


@dataclass
class Told:
    news: list[News] = field(default_factory=list)

    def tell(self, news: News) -> None:
        self.news.append(news)

    def forget(self) -> None:
        """Nothing waits here."""


@dataclass
class Nova:
    version: str = "2.95"
    asked: int = 0
    is_silent: bool = False

    def __call__(self) -> str:
        self.asked += 1
        if self.is_silent:
            raise Unreachable("Nova does not answer")
        return self.version


@dataclass
class Looking:
    check: DailyCheck
    nova: Nova
    told: Told
    terminal: Terminal

    def at(self, now_s: float, leads: bool = True, is_busy: bool = False) -> None:
        """One tick; what it begins has ended when this returns."""
        self.check.tick(leads, is_busy, now_s)
        if self.check._thread is not None:
            self.check._thread.join(LIMIT_S)
            assert not self.check._thread.is_alive()

    def left_s(self, what: str) -> float | None:
        metrics.cloud_is({"hanode_hosts_protected": {"": 1}})
        return metrics.REGISTRY.get_sample_value("hanode_credential_expires_seconds", {"what": what})

    def findings(self) -> dict[str, float]:
        metrics.cloud_is({"hanode_hosts_protected": {"": 1}})
        names = ("error", "warning", "info")
        found = {name: metrics.REGISTRY.get_sample_value("hanode_findings", {"severity": name}) for name in names}
        return {name: value for name, value in found.items() if value is not None}


@pytest.fixture
def looking(configured: Callable[..., Terminal]) -> Iterator[Looking]:
    terminal, nova, told = configured(), Nova(), Told()
    rhythm = Rhythm(first_s=10.0, every_s=1000.0, version_s=100.0, limit_s=LIMIT_S)
    yield Looking(DailyCheck([str(terminal.config)], nova, told, rhythm), nova, told, terminal)
    metrics.findings_are({})
    metrics.credentials_end({})
    metrics.cloud_is({})


def test_an_error_is_told_when_it_is_found_and_when_it_is_gone(looking: Looking) -> None:
    """A password that expired is found on a quiet day; and nobody is told twice."""
    good = looking.terminal.config.read_text()
    looking.at(0.0)
    assert looking.nova.asked == 0, "who took office this moment has better things to do"
    looking.terminal.config.write_text(good.replace("password = ", "password = wrong"))
    looking.at(10.0)
    assert [(news.phase, news.key) for news in looking.told.news] == [(Phase.BEGINS, "check/Keystone")]
    assert "refused user" in looking.told.news[0].text
    assert looking.findings()["error"] == 1.0
    looking.at(1010.0)
    assert len(looking.told.news) == 1
    looking.terminal.config.write_text(good)
    looking.at(2010.0)
    assert [news.phase for news in looking.told.news] == [Phase.BEGINS, Phase.ENDS]
    assert looking.findings()["error"] == 0.0


def test_an_upgrade_of_nova_is_looked_at_at_once(
    looking: Looking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was safe with the version of yesterday may lose disks with that of today."""
    caplog.set_level("INFO")
    looked: list[str] = []

    def counted(self: DailyCheck, what: str) -> Sequence[Mapping[str, Any]]:
        if what == "check":
            looked.append(looking.nova.version)
        return []

    monkeypatch.setattr(DailyCheck, "_rows_of", counted)
    for now_s, version in ((0.0, "2.95"), (10.0, "2.95"), (110.0, "2.95"), (210.0, "2.96"), (310.0, "2.96")):
        looking.nova.version = version
        looking.at(now_s)
    assert looked == ["2.95", "2.96"] and looking.nova.asked == 4
    assert "Nova offers microversion 2.96 now, 2.95 before" in caplog.text


def test_what_runs_out_is_counted_down(looking: Looking, cloud: EmbeddedCloud) -> None:
    """A password that ends next month is changed on a quiet day; between two looks the number falls by itself."""
    cloud._keystone.expires_at = f"{datetime.now(UTC) + timedelta(days=20):%Y-%m-%dT%H:%M:%S.%f}"
    looking.at(0.0)
    assert looking.left_s("password") is None, "nobody has looked"
    looking.at(10.0)
    left_s = looking.left_s("password")
    assert left_s is not None and 19.9 * 86400 < left_s < 20 * 86400
    assert (looking.left_s("password") or 0.0) < left_s
    assert looking.findings()["warning"] >= 1.0
    looking.at(20.0, leads=False)
    assert looking.left_s("password") is None


def test_nothing_is_looked_at_during_an_incident_or_by_a_standby(looking: Looking) -> None:
    """A recovery has the cloud's API for itself; and one daemon looks, not three."""
    looking.at(0.0)
    looking.at(50.0, is_busy=True)
    looking.at(60.0, leads=False)
    assert looking.nova.asked == 0 and looking.findings() == {}
    looking.at(70.0)
    assert looking.nova.asked == 0, "a new term begins to count anew"


def test_a_nova_that_is_silent_is_no_finding(looking: Looking, caplog: pytest.LogCaptureFixture) -> None:
    """That is what every tick sees and tells; this looks again later."""
    looking.nova.is_silent = True
    looking.at(0.0)
    looking.at(10.0)
    assert looking.told.news == [] and "trying again later: Nova does not answer" in caplog.text


def test_a_tick_does_not_wait_and_the_end_of_the_daemon_ends_a_check(looking: Looking) -> None:
    """The loop renews the office; a process of ours must not outlive us."""
    begun, go = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(LIMIT_S)
        return "2.95"

    looking.check._nova_version = slow
    looking.check.tick(True, False, 0.0)
    looking.check.tick(True, False, 10.0)
    assert begun.wait(LIMIT_S)
    looking.check.tick(True, False, 2000.0)
    looking.check.close()
    go.set()
    looking.at(2000.0, leads=False)
    assert looking.told.news == [] and looking.check._process is None
