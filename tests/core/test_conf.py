"""The configuration: nothing in a file is ignored, everything is configurable, every mistake is named with its remedy."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from hanode.conf import build
from hanode.conf.fields import DERIVED, FIELDS
from hanode.conf.options import list_opts
from hanode.core.policy import ONE_DEVICE, Policy, StorageDomain, StorePlan
from hanode.errors import ConfigError

OTHERS: dict[str, str] = {
    # Policy field -> a value in the file that differs from the default and fits the others.
    "mode": "act", "mode_by_aggregate": "rack1:approve", "release": "auto", "recovery": "restart",
    "recovery_by_aggregate": "rack1:none", "hypervisor_kinds": "QEMU,fake", "protected_aggregates": "rack1",
    "fence_living_aggregates": "rack2", "protect_disabled": "true", "own_hosts": "controller1", "skip_projects": "p1",
    "storage_key": "our:storage", "storage_kind_key": "our:kind", "report_interval_s": "12", "suspect_after_s": "20",
    "suspect_at_most_s": "31", "storm_window_s": "900", "failure_domain_keys": "pdu,rack",
    "fence_after_s": "90", "office_hold_s": "40", "poll_s": "4", "brake_hosts": "3", "brake_percent": "10",
    "cell_key": "our:cell", "priority_trust": "instance,rules", "priority_rules": "*/db-*:highest", "priority_keys": "our:priority",
    "opt_in_keys": "HA_Enabled", "group_key": "our:group", "after_key": "our:after", "after_wait_s": "200", "tier_wait_s": "60",
    "ready_rules": "*/db-*:tcp:5432,*/app-*:/bin/true {id}", "ready_keys": "our:ready", "ready_networks": "203.0.113.0/24",
    "ready_wait_s": "90", "repeat_window_s": "3600", "repeat_limit": "4", "repeat_alone_s": "5",
    "max_fencing": "2", "fence_attempts": "5", "fence_backoff_s": "11", "fence_timeout_s": "31", "fence_settle_s": "32",
    "reading_gap_s": "3", "proof_s": "12", "check_every_s": "1800", "max_evacuations": "9", "max_per_target": "3", "max_per_domain": "7",
    "evacuate_attempts": "4", "retry_s": "12", "repost_settle_s": "130", "hard_deadline_s": "2500",
    "restore_deadline_s": "310", "follow_s": "2", "stopped_first": "true",
    "home_watch_s": "200", "named_s": "700", "boot_s": "800", "lease_ttl_s": "16",
    "join_s": "300", "pci_key": "our:pci:", "spare_key": "our:spare", "spare_reason": "reserved",
    "max_migrations": "5", "max_migrations_per_host": "3", "cold_migration": "all", "failback": "offer", "failback_after_s": "60",
    "hand_over_after_s": "40",
    "http_timeout_s": "31", "accept_lag_s": "61", "healthy_s": "60", "flap_incidents": "4", "flap_window_s": "3600", "power_on": "true",
    "capacity_failures": "2", "capacity_racks": "true", "capacity_free_percent": "25", "capacity_dedicated": "c9",
    "capacity_every_s": "600",
    "kdump_fence_after_s": "33", "kdump_wait_s": "300",
    "health_every_s": "20", "health_timeout_s": "5",
}


def write(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "hanode.conf"
    file.write_text(text)
    return [str(file)]


def load(tmp_path: Path, text: str) -> build.Settings:
    return build.load(write(tmp_path, text))


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        build.policy(load(tmp_path, text))
    assert str(tmp_path / "hanode.conf") in str(caught.value), "a complaint names the file"
    return str(caught.value)


def ini(values: dict[str, str]) -> str:
    groups: dict[str, list[str]] = {}
    for field, value in values.items():
        group, option = FIELDS[field]
        groups.setdefault(group, []).append(f"{option} = {value}")
    return "\n".join(line for group, lines in groups.items() for line in (f"[{group}]", *lines))


def test_an_empty_file_means_the_defaults_of_the_core(tmp_path: Path) -> None:
    """Defaults live in Policy; a second set of them in the options would drift away from the tested one."""
    assert build.policy(load(tmp_path, "")) == Policy(poll_s=10 * DERIVED["poll_s"])


def test_every_field_of_the_policy_can_be_configured(tmp_path: Path) -> None:
    """A threshold without an option is a threshold that an operator cannot correct at night."""
    text = ini(OTHERS).replace("[storage]", "[storage]\ndomains = c1:ceph,c2:nfs\nkinds = ceph:rbd\nhealth = ceph:/bin/true")
    text = text.replace("[detection]", "[detection]\nrestart_agent = /bin/true")
    made = build.policy(load(tmp_path, text + "\n[probe]\nkind = none\nkdump_port = 7410\n"), fenceable={"c1"},
                        fence_plans={"c2": ONE_DEVICE}, stores={"ceph": StorePlan(proof=True)})
    unchanged = [f.name for f in fields(Policy) if getattr(made, f.name) == getattr(Policy(), f.name)]
    assert unchanged == []
    assert made.domains == {"c1": StorageDomain("ceph", "rbd"), "c2": StorageDomain("nfs", "file")}
    assert made.fenceable == {"c1"}
    assert made.mode_by_aggregate == {"rack1": "approve"}


def test_each_network_is_asked_in_its_own_way(tmp_path: Path) -> None:
    """What is not said of a network is as for the first one; addresses belong to the network that they name."""
    text = ("[probe]\nkind = tcp\nport = 22\nbanner = SSH-\nnetworks = storage:10.20.0.0/16, tenant:fd00:30::/64\n"
            "network_kinds = tenant:tcp/2222/SSH-2.0\naddresses = c1:192.0.2.9, c1@storage:10.20.9.9\n"
            "command = /bin/is-alive '{host} x' {address}\n")
    settings = load(tmp_path, text)
    found = build.networks(settings)
    assert build.policy(settings).networks == tuple(found) == ("management", "storage", "tenant", "command")
    assert (found["management"].addresses, found["management"].within) == ({"c1": "192.0.2.9"}, "")
    storage, tenant = found["storage"], found["tenant"]
    assert (storage.kind, storage.port, storage.banner, storage.within) == ("tcp", 22, "SSH-", "10.20.0.0/16")
    assert storage.addresses == {"c1": "10.20.9.9"}
    assert (tenant.kind, tenant.port, tenant.banner, tenant.addresses) == ("tcp", 2222, "SSH-2.0", {})
    assert found["command"].argv == ("/bin/is-alive", "{host} x", "{address}")


def test_a_network_may_be_asked_without_the_management_network(tmp_path: Path) -> None:
    """kind = none only says that host_ip is not asked."""
    settings = load(tmp_path, "[probe]\nkind = none\nnetworks = storage:10.20.0.0/16\n")
    assert {name: network.kind for name, network in build.networks(settings).items()} == {"storage": "icmp"}


@pytest.mark.parametrize(("text", "said"), [
    ("networks = management:10.0.0.0/8", "[probe] networks: 'management' cannot be the name of a network"),
    ("networks = Storage:10.0.0.0/8", "'Storage' cannot be the name"),
    ("networks = storage:10.20.0.1/16", "is not a prefix without host bits: write it as"),
    ("networks = storage:10.20.0.1", "is not a prefix"),
    ("network_kinds = storage:icmp", "[probe] network_kinds: storage is not among the networks"),
    ("networks = s:10.0.0.0/8\nnetwork_kinds = s:arp", "'arp' of s is none of icmp, tcp"),
    ("networks = s:10.0.0.0/8\nnetwork_kinds = s:tcp/70000", "'tcp/70000' of s is none of"),
    ("addresses = c1@storage:10.0.0.1", "[probe] addresses: c1@storage names the network 'storage'"),
    ("command = is-alive {host}", "[probe] command: 'is-alive' is not a full path"),
    ("command = /bin/is-alive", "names neither {host} nor {address}"),
    ("networks = kdump:10.0.0.0/8", "'kdump' cannot be the name"),
    ("kdump_address = controller1", "[probe] kdump_address: 'controller1' is no IP address of this machine"),
    ("command = /bin/is-alive '{host}", "close every quotation mark"),
])
def test_a_network_that_cannot_be_asked_is_refused_at_the_start(tmp_path: Path, text: str, said: str) -> None:
    """And not found out in the night."""
    assert said in complaint(tmp_path, f"[probe]\n{text}\n")


@pytest.mark.parametrize(("text", "said"), [
    ("ready = */*:tcp:70000\nready_networks = 10.0.0.0/8", "'tcp:70000' of */* names no port"),
    ("ready = */*:is-ready {id}", "is neither tcp:PORT nor the full path of a program"),
    ("ready = */*:tcp:22", "[priority] ready_networks: is empty, so the port of */* is never asked"),
    ("ready = */*:/bin/true", "names neither {id} nor {address}"),
    ("ready = */*:/bin/true '{id}", "close every quotation mark"),
    ("ready_networks = 10.0.0.1/8", "is not a prefix without host bits"),
])
def test_readiness_that_could_never_show_is_refused_at_the_start(tmp_path: Path, text: str, said: str) -> None:
    """Else a whole priority would wait for its time to run out, in the night."""
    assert said in complaint(tmp_path, f"[priority]\n{text}\n")


def test_programs_that_tell_readiness_are_taken_apart_without_a_shell(tmp_path: Path) -> None:
    """Ports are asked by hanode itself."""
    text = "[priority]\nready = */db-*:tcp:5432, */app-*:/bin/is-ready '{id} x' {address}\nready_networks = 10.0.0.0/8\n"
    assert build.programs(load(tmp_path, text))["ready"] == {"*/app-*": ["/bin/is-ready", "{id} x", "{address}"]}


def test_timings_left_unset_follow_the_report_interval(tmp_path: Path) -> None:
    """Who raises Nova's report_interval on a large cloud must not have to know which other timings hang on it."""
    made = build.policy(load(tmp_path, "[detection]\nreport_interval_s = 30\nfence_after_s = 90\n"))
    assert (made.suspect_after_s, made.office_hold_s, made.poll_s) == (45.0, 60.0, 10.0)


@pytest.mark.parametrize(("text", "said"), [
    ("[detecton]\npoll_s = 2\n", "[detecton] is not a group of hanode; did you mean detection?"),
    ("[detection]\nfence_afte_s = 2\n", "[detection] fence_afte_s is not an option; did you mean fence_after_s?"),
    ("[brake]\nlease_ttl_s = 9\n", "there is a lease_ttl_s in [office]"),
    ("[brake]\nhosts = 1\nhosts = 9\n", "[brake] hosts is given 2 times"),
    ("[DEFAULT]\nmood = act\n", "did you mean mode?"),
])
def test_a_name_that_hanode_does_not_know_is_refused_with_a_suggestion(tmp_path: Path, text: str, said: str) -> None:
    """oslo.config ignores what it does not know: a typing error would silently leave the default in force."""
    assert said in complaint(tmp_path, text)


@pytest.mark.parametrize(("text", "said"), [
    ("[DEFAULT]\nmode = armed\n", "[DEFAULT] mode is not valid: Valid values are [observe, approve, act]"),
    ("[keystone]\ntimeout_s = soon\n", "[keystone] timeout_s is not valid"),
    ("[brake]\npercent = 300\n", "[brake] percent is not valid"),
    ("[protection]\nmode_by_aggregate = rack1:armed\n", "[protection] mode_by_aggregate is not valid"),
    ("[keystone]\npassword = ca$h\n", "write $$ for a literal $"),
    ("[storage]\ndomains = c1:ceph\nkinds = cep:rbd\n", "did you mean ceph?"),
    ("[office]\nlease_ttl_s = 5\n", "[journal] timeout_s must be at most a fifth of [office] lease_ttl_s (5): lower it to 1"),
    ("no group\n", "is not a configuration file"),
])
def test_a_wrong_value_is_refused_with_its_option_and_the_remedy(tmp_path: Path, text: str, said: str) -> None:
    """The reader is awake since a minute and did not write the file."""
    assert said in complaint(tmp_path, text)


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    """One restart per typing error wastes the time in which the cloud is unprotected."""
    text = complaint(tmp_path, "[brake]\npercent = 300\nhosts = 0\n")
    assert "[brake] percent" in text and "[brake] hosts" in text


def test_timings_that_contradict_each_other_are_told_in_the_words_of_the_file(tmp_path: Path) -> None:
    """The core speaks of its fields; nobody can find `lease_ttl_s` without knowing that it is in [office]."""
    said = complaint(tmp_path, "[evacuation]\nrepost_settle_s = 60\n")
    assert ("[evacuation] repost_settle_s must be at least [office] lease_ttl_s + [keystone] timeout_s + "
            "[evacuation] accept_lag_s: raise [evacuation] repost_settle_s") in said


def test_a_missing_file_is_not_an_empty_one(tmp_path: Path) -> None:
    """Starting on defaults because of a wrong path would watch the wrong cloud, or none."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        build.load([str(tmp_path / "nothing.conf")])


def test_the_environment_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oslo.config takes OS_DEFAULT__MODE by default: an old shell must not be able to arm the daemon."""
    monkeypatch.setenv("OS_DEFAULT__MODE", "act")
    monkeypatch.setenv("OS_KEYSTONE__AUTH_URL", "http://elsewhere")
    settings = load(tmp_path, "")
    assert settings.get("DEFAULT", "mode") == "observe"
    assert settings.get("keystone", "auth_url") is None


def test_options_of_oslo_log_are_known_in_default(tmp_path: Path) -> None:
    """`debug = true` is what everybody tries first."""
    assert load(tmp_path, "[DEFAULT]\ndebug = true\nlog-file = /tmp/x\n").conf.debug is True


LOGIN = "[keystone]\nauth_url = http://k\nusername = u\n"


def test_a_password_comes_from_its_file_without_the_line_end(tmp_path: Path) -> None:
    """Editors end files with a newline; Keystone answers 401 to it, which is hard to see."""
    (tmp_path / "password").write_text("s e$cret\n")
    arguments = build.keystone(load(tmp_path, LOGIN + f"password_file = {tmp_path / 'password'}\n"))
    assert arguments["password"] == "s e$cret"


@pytest.mark.parametrize(("text", "said"), [
    ("", "[keystone] auth_url is not set"),
    ("[keystone]\nauth_url = http://k\n", "either username or application_credential_id"),
    (LOGIN, "[keystone] password_file is not set or empty"),
    (LOGIN + "password = a\npassword_file = /b\n", "keep one of them"),
    (LOGIN + "password_file = /nowhere/secret\n", "cannot read /nowhere/secret: No such file"),
])
def test_a_login_that_cannot_work_is_refused_before_keystone_is_asked(tmp_path: Path, text: str, said: str) -> None:
    """Keystone's own answer to half a login is a 401 that names nothing."""
    settings = load(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        build.keystone(settings)
    assert said in str(caught.value)


def test_a_reload_takes_over_limits_but_not_the_timings_of_the_office(tmp_path: Path) -> None:
    """The lease is shared with the other daemons: changing it under a running leader would make two of them."""
    old = load(tmp_path, "")
    running = build.policy(old)
    new = load(tmp_path, "[DEFAULT]\nmode = act\n[office]\nlease_ttl_s = 20\n[journal]\nurl = etcd://a:2379\n")
    made = build.reloaded_policy(new, running, fenceable={"c1"}, fence_plans={"c2": ONE_DEVICE})
    assert (made.mode, made.lease_ttl_s) == ("act", running.lease_ttl_s)
    assert made.fenceable == {"c1"}
    assert made.plan_of("c2") == ONE_DEVICE
    assert set(build.needs_restart(old, new)) == {"[journal] url", "[office] lease_ttl_s"}


def test_every_option_says_what_it_is_for() -> None:
    """The sample is the manual that is open at night."""
    mute = [f"[{group.name}] {option.dest}" for group, options in list_opts() for option in options if not option.help]
    assert mute == []


def test_durations_carry_their_unit() -> None:
    """Nobody should have to guess between seconds and milliseconds."""
    floats: list[Any] = [(g.name, o) for g, options in list_opts() for o in options if type(o).__name__ == "FloatOpt"]
    assert [f"[{g}] {o.dest}" for g, o in floats if not o.dest.endswith(("_s", "percent"))] == []
