"""How an instance shows that it serves again, and whose word counts for that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.facts import Instance
from hanode.core.lifecycle import InstanceState
from hanode.core.order import line_of
from hanode.core.serving import ANSWERS, check_of, from_key, port_of, serves_key
from tests.core.facts import POLICY, instance
from tests.core.test_order import after, entry

REACHED = replace(POLICY, ready_networks=("203.0.113.0/24", "2001:db8::/32"))
ADDRESSES = ("10.0.0.5", "203.0.113.5", "203.0.113.6")


def server(**changes: object) -> Instance:
    return replace(instance("db-1", project_id="p", addresses=ADDRESSES), **changes)  # type: ignore[arg-type]


def test_the_first_address_that_the_controllers_reach_is_asked() -> None:
    """A tenant's own network cannot be seen from there, and its addresses may be anybody's."""
    assert check_of(server(metadata={"hanode:ready": "tcp:5432"}), REACHED) == ("tcp:5432", "203.0.113.5")
    assert check_of(server(metadata={"hanode:ready": "tcp:5432"}, addresses=("2001:db8::5",)), REACHED) == ("tcp:5432", "2001:db8::5")


@pytest.mark.parametrize("policy", [POLICY, replace(POLICY, ready_networks=("198.51.100.0/24",))])
def test_an_instance_that_nobody_here_reaches_is_ready_when_it_is_active(policy: object) -> None:
    """Else others would wait for an answer that cannot come."""
    assert check_of(server(metadata={"hanode:ready": "tcp:5432"}), policy) == ("", "")  # type: ignore[arg-type]


def test_a_rule_of_the_operator_outranks_what_a_tenant_says() -> None:
    """As with priorities, by the same order of trust."""
    policy = replace(REACHED, ready_rules={"p/db-*": "tcp:3306"})
    assert check_of(server(metadata={"hanode:ready": "tcp:5432"}), policy)[0] == "tcp:3306"
    tenants_first = replace(policy, priority_trust=("instance", "rules"))
    assert check_of(server(metadata={"hanode:ready": "tcp:5432"}), tenants_first)[0] == "tcp:5432"


@pytest.mark.parametrize("said", ["/bin/true {id}", "program:*/*", "tcp:0", "tcp:65536", "tcp:22/x", "udp:53", "tcp:", ""])
def test_a_tenant_can_name_a_port_and_nothing_else(said: str) -> None:
    """Whatever else he writes is nobody's command."""
    assert check_of(server(metadata={"hanode:ready": said}), REACHED) == ("", "")
    assert port_of(said) is None


def test_a_program_is_known_by_its_rule_and_needs_no_address() -> None:
    """The journal keeps the rule, never the command."""
    policy = replace(POLICY, ready_rules={"*/db@x-*": "/bin/is-ready {id}", "*/*": "/bin/is-ready {id}"})
    assert check_of(server(), policy) == ("program:*/*", "")
    odd = replace(entry("db-1"), instance_id="i-1", check="program:*/db@x-*")
    assert from_key(serves_key(odd)) == ("i-1", "", "program:*/db@x-*")


@pytest.mark.parametrize(("changes", "awaited"), [
    ({}, True), ({"served": ANSWERS}, False), ({"check": ""}, False), ({"state": InstanceState.STUCK}, False),
    ({"before": replace(entry("db").before, power_state="shutdown")}, False)])
def test_what_is_active_is_awaited_until_it_is_settled(changes: dict[str, object], awaited: bool) -> None:
    """Who did not run before, cannot serve now; and who is given up keeps nobody waiting."""
    db = replace(entry("db"), state=InstanceState.VERIFIED, check="tcp:5432", priority="high")
    db, web = replace(db, **changes), entry("web", metadata=after("db"))  # type: ignore[arg-type]
    line = line_of([db, web])
    assert bool(line.awaited(web)) is awaited
    assert line.is_early(web) is awaited
