"""A real Prometheus scrapes a real daemon while a host fails: every panel of the dashboard has something to show."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from hanode.sim.etcd import free_ports
from hanode.sim.stage import Process, Stage
from tests.e2e.play import Play
from tests.web.test_rules import DASHBOARD, RULES

pytestmark = pytest.mark.e2e

DASH: dict[str, Any] = json.loads(DASHBOARD.read_text())
PANELS = [panel for panel in DASH["panels"] if panel["type"] != "row"]
MACROS = {"$__rate_interval": "1m", "$__range": "1h", "$cluster": ".*"}


def queries() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]


def plain(expression: str) -> str:
    """As Grafana would send it."""
    for macro, value in MACROS.items():
        expression = expression.replace(macro, value)
    assert "$" not in expression, f"a variable that nobody sets: {expression}"
    return expression


def test_the_dashboard_is_whole() -> None:
    """Grafana shows a broken panel as an empty one."""
    ids = [panel["id"] for panel in DASH["panels"]]
    assert len(ids) == len(set(ids)) and DASH["uid"] == "hanode"
    for panel in PANELS:
        assert panel["title"] and panel["targets"] and all(target["expr"] and target["legendFormat"] for target in panel["targets"])
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    taken = [(p["gridPos"]["x"] + dx, p["gridPos"]["y"] + dy) for p in DASH["panels"] for dx in range(p["gridPos"]["w"])
             for dy in range(p["gridPos"]["h"])]
    assert len(taken) == len(set(taken)), "two panels overlap"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A function that asks Prometheus, after a host failed and its instances are back."""
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus here: apt install prometheus")
    directory: Path = tmp_path_factory.mktemp("prometheus")
    web, own = free_ports(2)
    shutil.copy(RULES, directory / "hanode.rules.yml")
    (directory / "prometheus.yml").write_text(yaml.safe_dump({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["hanode.rules.yml"],
        "scrape_configs": [{"job_name": "hanode", "static_configs": [{"targets": [f"127.0.0.1:{web}"], "labels": {"cluster": "one"}}]}],
    }))
    command = ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
               f"--web.listen-address=127.0.0.1:{own}"]
    server = Process("prometheus", [shutil.which("prometheus") or "", *command[1:]], directory)
    try:
        server.start()
        with Stage(directory, daemons=1, members=0, hosts=6, servers=18, settings={"web": {"port": web}}) as stage:
            play = Play(stage)
            play.until_ready()
            play.cut_power("cn1")

            def ask(expression: str) -> list[Any]:
                answer = requests.get(f"http://127.0.0.1:{own}/api/v1/query", params={"query": expression}, timeout=30).json()
                assert answer["status"] == "success", answer
                found: list[Any] = answer["data"]["result"]
                return found

            def told() -> bool:
                try:
                    return bool(ask('hanode_phase_seconds_count{phase="downtime"} > 0') and ask('hanode_instances_down == 0'))
                except requests.RequestException:
                    return False

            play.until(told, "Prometheus having scraped the end of the recovery")
            play.until(lambda: all(ask(plain(e)) for _, e in queries()), "every query of the dashboard having data")
            yield ask
    finally:
        server.close()


@pytest.mark.parametrize(("title", "expression"), queries())
def test_every_panel_has_data(asked: Any, title: str, expression: str) -> None:
    """A panel that stays empty in an incident is worse than none: people wait for it."""
    assert asked(plain(expression)), title


def test_what_was_measured_is_what_happened(asked: Any) -> None:
    """The figures are looked at afterwards, to decide whether the timings are right."""
    counts = {sample["metric"]["phase"]: float(sample["value"][1]) for sample in asked("hanode_phase_seconds_count")}
    assert counts["detect"] == counts["fence"] == 1
    assert counts["place"] == counts["evacuate"] >= counts["verify"] > 0
    assert counts["downtime"] > 0
    (mean,) = asked('hanode_phase_seconds_sum{phase="downtime"} / hanode_phase_seconds_count{phase="downtime"}')
    assert 0 < float(mean["value"][1]) < 600
    assert asked('hanode_actions_total{kind="evacuate",result="done"}')


def test_the_rules_are_loaded_and_evaluated(asked: Any) -> None:
    """By the same Prometheus that will run them."""
    assert asked('ALERTS{alertname="HanodeIncident"}'), "the host that failed is an incident, and is shown"
    assert not asked('ALERTS{severity="page",alertstate="firing"}')


def test_nothing_of_a_tenant_is_a_label(asked: Any) -> None:
    """Labels are kept for ever and shown to many: no names and ids of instances, and few values of each."""
    series = asked('{__name__=~"hanode_.*"}')
    values = {value for sample in series for label, value in sample["metric"].items() if label not in {"__name__", "le", "instance"}}
    assert not [value for value in values if re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|vm-?\d", value)]
    assert len(series) < 1000
