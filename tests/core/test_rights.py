"""The calls that we say we make are those that we make: an administrator gives rights by that list."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hanode.adapters import rights
from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from hanode.adapters.rest import Rest
from hanode.adapters.rights import RIGHTS, policy_of_glance, policy_of_nova, policy_of_placement
from hanode.cli.main import main
from hanode.core.model import Call
from hanode.errors import HanodeError, Refused
from hanode.sim.cloud import EmbeddedCloud, example_world

SERVICES = {"compute": "nova", "placement": "placement", "image": "glance", "network": "neutron", "identity": "keystone"}
SECURITY = Path(__file__).parents[2] / "docs/security.md"
ID = re.compile(r"(?<=/)(?:[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|i-unknown|p-unknown|s-unknown)(?=/|$)")


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmbeddedCloud]:
    made = EmbeddedCloud(example_world(hosts=4, domains=2, servers=6))
    made.start()
    yield made
    made.stop()


def arguments(method: Any, adapter: OpenStackCloud) -> dict[str, Any]:
    """Something for each parameter, by its name."""
    fleet = adapter.read_fleet()
    host = next(iter(fleet.hosts.values()))
    server = adapter.read_servers(host.name)[0].instance_id
    provider = host.hypervisor.provider_id if host.hypervisor else ""
    known: dict[str, Any] = {
        "host": host.name, "instance_id": server, "provider_id": provider, "providers": {host.name: provider}, "service_id": "s-unknown",
        "target": "cn2", "call": Call.SCHEDULED, "reason": "test", "since": "2026-01-01T00:00:00", "service_type": "compute",
        "trait": "COMPUTE_STATUS_DISABLED",
    }
    names = [name for name in inspect.signature(method).parameters if name != "self"]
    assert set(names) <= known.keys(), f"tell this test what to give for {sorted(set(names) - known.keys())}"
    return {name: known[name] for name in names}


@pytest.fixture
def made(cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str, str]]:
    """Every call that any method makes. Those that the embedded cloud refuses are calls as well."""
    found: set[tuple[str, str, str]] = set()
    real = Rest._send

    def send(self: Rest, method: str, path: str, doubt: Any, **options: Any) -> Any:
        body = options.get("json") or {}
        action = f" {next(iter(body))}" if path.endswith("/action") else ""
        found.add((SERVICES[self._name], method, ID.sub("{}", path.partition("?")[0]) + action))
        return real(self, method, path, doubt, **options)

    adapter = OpenStackCloud(Credentials(**cloud.credentials))
    methods = {name: method for name, method in inspect.getmembers(OpenStackCloud, inspect.isfunction) if not name.startswith("_")}
    another = OpenStackCloud(Credentials(**cloud.credentials))  # each remembers what it read
    given = {name: arguments(method, another) for name, method in methods.items()}
    monkeypatch.setattr(Rest, "_send", send)
    for name, method in sorted(methods.items(), key=lambda item: (not item[0].startswith("read"), item[0])):
        with suppress(HanodeError):
            method(adapter, **given[name])
    return found


def test_the_list_names_every_call_and_no_other(made: set[tuple[str, str, str]]) -> None:
    """A call that is missing fails in the night under least privilege; one too many is a right that nobody needs.

    If this fails after you added a call to an adapter: name it in hanode/adapters/rights.py and docs/security.md.
    """
    listed = {(right.service, right.method, right.path) for right in RIGHTS}
    unseen = {("placement", "PUT", "/allocations/{}"), ("placement", "GET", "/resource_providers/{}")}  # only to settle two allocations
    unseen |= {("keystone", "GET", "/users/{}/application_credentials/{}")}  # only by who logs in with one
    assert made - listed == set()
    assert listed - made <= unseen


def test_the_document_names_the_same_calls() -> None:
    """Whoever reviews our rights reads the page, not the source."""
    rows = re.findall(r"^\| (nova|placement|neutron|glance|keystone) \| (\w+) \| `([^`]+)` \| (.+) \|$", SECURITY.read_text(), re.MULTILINE)
    told = {(service, method, path, tuple(re.findall(r"`([^`]+)`", names))) for service, method, path, names in rows}
    assert told == {(right.service, right.method, right.path, right.rules) for right in RIGHTS}


SAMPLE = "\n".join(["# Decides what is required for is_admin", '#"context_is_admin": "role:admin"', '#"project_member_or_admin": "x or y"',
                    '# DEPRECATED "old": "rule"', *(f'#"{rule}": "rule:context_is_admin"' for rule in sorted(rights.rules_of("nova"))),
                    '#"os_compute_api:servers:delete": "rule:project_member_or_admin"', '#"os_compute_api:free": ""'])


def test_the_role_may_do_what_is_listed_and_nothing_else() -> None:
    """Administrators and members keep what they had."""
    assert list(policy_of_nova("hanode", SAMPLE)) == [
        '"context_is_admin": "(role:admin) or role:hanode"',
        '"os_compute_api:free": "(@) and not role:hanode"',
        '"os_compute_api:servers:delete": "(rule:project_member_or_admin) and not role:hanode"',
    ]
    assert '"placement:allocations:update": "role:admin or role:service or role:r2"' in list(policy_of_placement("r2"))
    assert list(policy_of_glance("r2")) == ['"get_images": "role:admin or role:member or role:reader or role:r2"']


@pytest.mark.parametrize("sample", ["", "x: y", SAMPLE.replace("context_is_admin", "x"), SAMPLE.replace("os-evacuate", "gone")])
def test_a_sample_that_is_none_is_refused(sample: str) -> None:
    """A policy made from half of the rules would forbid half of what it must."""
    with pytest.raises(Refused, match="oslopolicy-sample-generator"):
        list(policy_of_nova("hanode", sample))


def test_the_command_writes_both(capsys: pytest.CaptureFixture[str]) -> None:
    """Straight into policy.d; a role that would break the rules is refused."""
    stdout = io.StringIO()
    assert main(["config", "policy", "nova", "--role", "ha"], stdin=io.StringIO(SAMPLE), stdout=stdout) == 0
    assert '"context_is_admin": "(role:admin) or role:ha"' in stdout.getvalue()
    for role in ('x" or "', "admin", ""):
        with suppress(SystemExit):
            assert main(["config", "policy", "placement", "--role", role]) == 2
        assert "is not the name of a role of its own" in capsys.readouterr().err
