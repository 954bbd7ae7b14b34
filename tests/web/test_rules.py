"""The shipped alert rules, by Prometheus' own tester: each fires for what it is named after, and a sound cloud is silent."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanode import metrics

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "etc/hanode/prometheus"
RULES = PROMETHEUS / "hanode.rules.yml"
RUNBOOK = ROOT / "docs/runbook.md"
METRICS_PAGE = ROOT / "docs/metrics.md"
DASHBOARD = ROOT / "etc/hanode/grafana/hanode.json"

ALERTS: Mapping[str, Mapping[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}
STATES = ("FENCING", "NEEDS_OPERATOR", "EVACUATING", "RELEASING")
STEPS = 480  # of 15 s: two hours

Series = Mapping[str, str]


def always(value: float) -> str:
    return f"{value:g}x{STEPS}"


def until(step: int, value: float, then: float | str) -> str:
    """One value, and from a step on another; "_" is a series that is gone."""
    return f"{value:g}x{step} " + (f"_x{STEPS - step}" if then == "_" else f"{then}x{STEPS - step}")


def cloud(instance: str, **more: str) -> dict[str, str]:
    """The numbers that only the leader shows, of eight sound hosts."""
    verdicts = {"HEALTHY": 8, "SUSPECT": 0, "FAILED": 0, "AGENT_DOWN": 0, "PARTITIONED": 0, "HELD": 0}
    singles = {"hanode_instances_down": 0, "hanode_devices_quarantined": 0, "hanode_hosts_without_device": 0,
               "hanode_hosts_unfenceable": 0, "hanode_hosts_cut_off": 0, "hanode_cuts_overdue": 0, "hanode_capacity_unmet": 0,
               "hanode_instances_down_oldest_seconds": 0, "hanode_recovery_elapsed_seconds": 0, "hanode_recovery_predicted_seconds": 0}
    return {
        **{f'hanode_hosts{{verdict="{verdict}",{instance}}}': always(count) for verdict, count in verdicts.items()},
        **{f"{name}{{{instance}}}": always(value) for name, value in singles.items()},
        **{f'hanode_incidents{{state="{state}",{instance}}}': always(0) for state in STATES},
        **more,
    }


A, B = 'job="hanode",instance="a",cluster="one"', 'job="hanode",instance="b",cluster="one"'


def sound() -> dict[str, str]:
    """Two daemons, one leading, nothing wrong."""
    found: dict[str, str] = {}
    for instance, leads in ((A, 1), (B, 0)):
        found |= {
            f"up{{{instance}}}": always(1),
            f"hanode_leader{{{instance}}}": always(leads),
            f"hanode_ready{{{instance}}}": always(1),
            f"hanode_term{{{instance}}}": always(leads),
            f"hanode_target_recovery_seconds{{{instance}}}": always(120),
            f"hanode_last_tick_timestamp_seconds{{{instance}}}": f"1+15x{STEPS}",
            f'hanode_mode{{mode="act",{instance}}}': always(1),
            f'hanode_mode{{mode="observe",{instance}}}': always(0),
            f'hanode_info{{version="1.0",{instance}}}': always(1),
            f'hanode_journal_calls_total{{call="read",outcome="done",{instance}}}': f"1+40x{STEPS}",
            f'hanode_api_calls_total{{service="compute",verb="GET",outcome="done",{instance}}}': f"1+10x{STEPS}",
            f'hanode_tick_seconds_bucket{{le="0.1",{instance}}}': f"1+5x{STEPS}",
            f'hanode_tick_seconds_bucket{{le="10",{instance}}}': f"1+5x{STEPS}",
            f'hanode_tick_seconds_bucket{{le="+Inf",{instance}}}': f"1+5x{STEPS}",
        }
    found[f'hanode_journal_calls_total{{call="commit",outcome="done",{A}}}'] = f"1+5x{STEPS}"
    return found | cloud(A)


@dataclass(frozen=True)
class Case:
    """A sound cloud in which some series are otherwise (None: they are not there)."""

    at: str
    fires: frozenset[str]
    series: Mapping[str, str | None] = field(default_factory=dict)


def case(at: str, fires: str, **series: str | None) -> Case:
    """Series of the leader by metric and, after two underscores, the values of its own labels."""
    return Case(at, frozenset(fires.split()), {_named(name): value for name, value in series.items()})


LABELS = {"hosts": "verdict", "incidents": "state", "holds": "hold", "instances": "state", "instances_waiting": "reason",
          "instances_skipped": "reason", "mode": "mode", "findings": "severity", "credential_expires_seconds": "what"}


def _named(name: str) -> str:
    metric, _, value = name.partition("__")
    own = f'{LABELS[metric]}="{value}",' if value else ""
    return f"hanode_{metric}{{{own}{A}}}"


RISING = f"0+5x{STEPS}"
CASES: Mapping[str, Case] = {
    "sound": case("2h", ""),
    "the office goes to the other daemon": Case("62m", frozenset(), {
        f"hanode_leader{{{A}}}": until(240, 1, 0), f"hanode_leader{{{B}}}": until(242, 0, 1),
        **{name: until(240, float(value.split("x")[0]), "_") for name, value in cloud(A).items()},
        **{name: f"_x242 {value.split('x')[0]}x200" for name, value in cloud(B).items()},
    }),
    "a failure that is recovered in time": Case("65m", frozenset(), {
        f"hanode_instances_down{{{A}}}": "0x240 20 12 4 0x200"}),
    "nobody leads": Case("3m", frozenset({"HanodeNoLeader"}), {f"hanode_leader{{{A}}}": always(0)}),
    "nobody leads for a minute": Case("61m", frozenset(), {f"hanode_leader{{{A}}}": "1x240 0x4 1x200"}),
    "the metrics are gone": Case("6m", frozenset({"HanodeNoLeader", "HanodeDaemonDown"}), {
        **dict.fromkeys(sound()), f"up{{{A}}}": always(0), f"up{{{B}}}": always(0)}),
    "nothing is scraped": Case("3m", frozenset({"HanodeNoLeader"}), dict.fromkeys(sound())),
    "a person is needed": case("1m", "HanodeNeedsOperator HanodeIncident", incidents__NEEDS_OPERATOR=always(1)),
    "brake": case("2m", "HanodeBrakeWithSilentHosts", hosts__SUSPECT=always(3), holds__TOO_MANY=always(1)),
    "a hold of a new office is no brake": case("2m", "", hosts__SUSPECT=always(3), holds__OFFICE=always(1)),
    "a brake without silent hosts": case("2m", "", holds__CELL_UNKNOWN=always(1)),
    "held": case("3m", "HanodeHostsHeld", hosts__HELD=always(1), holds__TOO_MANY=always(0)),
    "down, and nothing moves": case("11m", "HanodeInstancesStayDown", instances_down=always(4)),
    "a recovery takes as long as it is meant to": case("30m", "", instances_down_oldest_seconds=always(230)),
    "a recovery takes twice as long": case("1m", "HanodeRecoverySlow", instances_down_oldest_seconds=always(250)),
    "a recovery takes twice as long as those before it": case(
        "1m", "HanodeRecoverySlow", recovery_elapsed_seconds=always(190), recovery_predicted_seconds=always(90)),
    "a recovery is slow, within the time that is aimed at": case(
        "30m", "", recovery_elapsed_seconds=always(110), recovery_predicted_seconds=always(30)),
    "a large recovery takes as long as it was to": case(
        "30m", "", recovery_elapsed_seconds=always(900), recovery_predicted_seconds=always(600),
        instances_down_oldest_seconds=always(900)),
    "nothing was measured before": case(
        "1m", "HanodeRecoverySlow", recovery_elapsed_seconds=always(250), recovery_predicted_seconds=always(0),
        instances_down_oldest_seconds=always(250)),
    "a slow recovery that is only watched": case(
        "30m", "", recovery_elapsed_seconds=always(900), recovery_predicted_seconds=always(90), mode__observe=always(1),
        mode__act=always(0)),
    "nothing is recovered, by choice": case("30m", "", instances_down_oldest_seconds=always(900), mode__observe=always(1),
                                            mode__act=always(0)),
    "down, and it goes on": case("30m", "", instances_down=f"{STEPS}-1x{STEPS}"),
    "unwritable": Case("5m", frozenset({"HanodeJournalUnwritable"}), {
        f'hanode_journal_calls_total{{call="commit",outcome="done",{A}}}': always(7),
        f'hanode_journal_calls_total{{call="commit",outcome="ambiguous",{A}}}': RISING}),
    "a journal that hiccups": Case("5m", frozenset(), {f'hanode_journal_calls_total{{call="commit",outcome="ambiguous",{A}}}': RISING}),
    "a lying device": case("1m", "HanodePowerDeviceQuarantined", devices_quarantined=always(1)),
    "a cut is not renewed": case("2m", "HanodeCutOverdue", cuts_overdue=always(1)),
    "a cut is renewed in time": case("30m", "", hosts_cut_off=always(1)),
    "fencing would fail": case("31m", "HanodeHostsUnfenceable", hosts_unfenceable=always(1)),
    "fencing would fail, and is mended": case("65m", "", hosts_unfenceable=f"0x140 1x90 0x{STEPS}"),
    "a promise of capacity does not hold": case("31m", "HanodeCapacityUnmet", capacity_unmet=always(1)),
    "a daemon is down": Case("6m", frozenset({"HanodeDaemonDown"}), {
        **{name: None for name in sound() if 'instance="b"' in name}, f"up{{{B}}}": always(0)}),
    "a deaf standby": Case("6m", frozenset({"HanodeNotReady"}), {f"hanode_ready{{{B}}}": always(0)}),
    "stalled": Case("5m", frozenset({"HanodeTickStalled"}), {f"hanode_last_tick_timestamp_seconds{{{B}}}": always(1)}),
    "slow": Case("25m", frozenset({"HanodeTickSlow"}), {f'hanode_tick_seconds_bucket{{le="0.1",{A}}}': always(1)}),
    "restless": case("30m", "HanodeOfficeRestless", term="1x20 2x20 3x20 4x20 5x20 6x400"),
    "an error was found": case("1m", "HanodeCheckFindsErrors", findings__error=always(1)),
    "a warning was found": case("30m", "", findings__warning=always(3), findings__error=always(0)),
    "a password ends next week": case("1m", "HanodeCredentialExpires", credential_expires_seconds__password=always(7 * 86400)),
    "a certificate ends next year": case("30m", "", credential_expires_seconds__web=always(300 * 86400)),
    "notifications do not arrive": Case("12m", frozenset({"HanodeNotificationsFail"}), {
        f'hanode_notifications_total{{channel="webhook",outcome="failed",{A}}}': RISING}),
    "a notification that failed once": Case("40m", frozenset(), {
        f'hanode_notifications_total{{channel="webhook",outcome="failed",{A}}}': "0x20 1x460"}),
    "lost": case("1m", "HanodeInstancesLost", instances__STUCK=always(2)),
    "waiting": case("6m", "HanodeInstancesWaiting", instances_waiting__room=always(2)),
    "skipped": case("16m", "HanodeInstancesSkipped", instances_skipped__paused=always(1), instances_skipped__policy=always(9)),
    "agent": case("6m", "HanodeAgentDown", hosts__AGENT_DOWN=always(1)),
    "cut off": case("6m", "HanodeAgentDown", hosts__PARTITIONED=always(1)),
    "power-off refused": Case("5m", frozenset({"HanodeFencingFails"}), {
        f'hanode_actions_total{{kind="power-off",result="refused",{A}}}': RISING}),
    "nova is deaf": Case("15m", frozenset({"HanodeCloudUnreachable"}), {
        f'hanode_api_calls_total{{service="compute",verb="GET",outcome="unreachable",{A}}}': f"0+8x{STEPS}"}),
    "no device": case("61m", "HanodeHostWithoutDevice", hosts_without_device=always(1)),
    "back and waiting": case("61m", "HanodeReleaseWaits", incidents__RELEASING=always(1)),
    "an incident": case("1m", "HanodeIncident", incidents__EVACUATING=always(1)),
    "observing": case("61m", "HanodeOnlyObserves", mode__observe=always(1)),
    "mixed versions": Case("61m", frozenset({"HanodeVersionsDiffer"}), {f'hanode_info{{version="1.1",{B}}}': always(1)}),
}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here: apt install prometheus")
@pytest.mark.parametrize("name", CASES)
def test_exactly_the_right_alerts_fire(tmp_path: Path, name: str) -> None:
    """One missing lets people sleep while nobody recovers; one too many teaches them to sleep on."""
    chosen = CASES[name]
    series = {series: values for series, values in {**sound(), **chosen.series}.items() if values is not None}
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(chosen.fires)]
    expression = 'count by (alertname) (count by (alertname, cluster) (ALERTS{alertstate="firing"}))'
    (tmp_path / "test.yml").write_text(yaml.safe_dump({
        "rule_files": [str(RULES)], "evaluation_interval": "15s",
        "tests": [{
            "interval": "15s", "input_series": [{"series": s, "values": v} for s, v in series.items()],
            "promql_expr_test": [{"expr": expression, "eval_time": chosen.at, "exp_samples": expected}],
        }],
    }))
    ended = subprocess.run(["promtool", "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_alert_has_been_seen_to_fire() -> None:
    """A rule that never fired in a test may never fire at all."""
    assert set(ALERTS) == {alert for chosen in CASES.values() for alert in chosen.fires}


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_to_type_and_where_to_read_on(alert: str) -> None:
    """It wakes somebody who has never heard of hanode."""
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"page", "ticket", "info"}
    assert rule["annotations"]["command"] and rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{alert.lower()}"
    section = RUNBOOK.read_text().split(f"\n## {alert}\n", 1)
    assert len(section) == 2, f"docs/runbook.md has no section {alert}"
    assert "hanode " in section[1].split("\n## ")[0] or "systemctl" in section[1].split("\n## ")[0], "a command to type"


def known_metrics() -> set[str]:
    """Every series that /metrics can show, by name."""
    families = {family.name: family.type for family in metrics.REGISTRY.collect() if family.name.startswith("hanode_")}
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {name + suffix for name, kind in families.items() for suffix in suffixes[kind]} | set(metrics.CLOUD)


@pytest.mark.parametrize("file", [RULES, DASHBOARD, PROMETHEUS / "prometheus.yml.sample", RUNBOOK], ids=lambda file: file.name)
def test_every_metric_that_is_named_exists(file: Path) -> None:
    """A rule about a renamed metric is silent for ever."""
    named = set(re.findall(r"\bhanode_[a-z_]+\b", file.read_text()))
    assert named <= known_metrics(), f"{file.name} names {sorted(named - known_metrics())}"


def test_every_metric_is_explained() -> None:
    """docs/metrics.md names what is shown, and nothing else."""
    named = set(re.findall(r"`(hanode_[a-z_]+)`", METRICS_PAGE.read_text()))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known_metrics()}
    assert named == families


@pytest.mark.skipif(shutil.which("amtool") is None, reason="no amtool here: apt install prometheus-alertmanager")
def test_alertmanager_accepts_the_sample() -> None:
    """A sample is copied, not read."""
    command = ["amtool", "check-config", str(PROMETHEUS / "alertmanager.yml.sample")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_only_alerts_that_exist_are_inhibited() -> None:
    """An inhibition with a typing error inhibits nothing, or everything."""
    sample = yaml.safe_load((PROMETHEUS / "alertmanager.yml.sample").read_text())
    matchers = [m for rule in sample["inhibit_rules"] for m in (*rule["source_matchers"], *rule["target_matchers"])]
    named = {name for matcher in matchers for name in re.findall(r"Hanode\w+", matcher)}
    assert named and named <= set(ALERTS)
