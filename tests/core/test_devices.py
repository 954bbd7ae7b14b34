"""PCI devices are counted by us: what is declared, less what is held."""

from __future__ import annotations

from dataclasses import replace

from hanode.core.accounts import account, flavor_resources
from hanode.core.capacity import Question, answer
from hanode.core.devices import declared, left_of, wanted, with_devices, without
from hanode.core.facts import Aggregate, Host, Instance
from hanode.core.place import Placed, Refused, place
from hanode.core.policy import Policy
from hanode.core.room import Room
from hanode.core.stock import capacity_of
from tests.core.facts import POLICY, host, instance
from tests.core.test_capacity import cloud
from tests.core.test_place import ask


def gpus(name: str, text: str = "2") -> Host:
    found = host(name)
    return replace(found, aggregates=(*found.aggregates, Aggregate("gpus", frozenset({name}), {"hanode:pci:gpu": text})))


def drawing(name: str = "vm", on: str = "c1", devices: str = "gpu:1", **more: object) -> Instance:
    return instance(name, on, extra_specs={"pci_passthrough:alias": devices}, **more)


def test_devices_are_one_more_resource_of_an_instance_whatever_placement_says() -> None:
    """The journal keeps what it needs, so that every leader counts the same."""
    entry = account(drawing(devices="gpu:2,nic"), "A", {"id-vm": {"VCPU": 9}}, POLICY, frozenset())
    assert entry is not None and entry.resources == {"VCPU": 9, "PCI:gpu": 2, "PCI:nic": 1}
    assert without(entry.resources) == {"VCPU": 9}
    assert flavor_resources(drawing()).keys() & {"PCI:gpu"} == set()


def test_what_is_held_is_taken_from_what_is_declared() -> None:
    """Who came there meanwhile has its devices, too."""
    assert declared(gpus("c2"), POLICY) == {"PCI:gpu": 2}
    assert left_of(gpus("c2"), POLICY, [wanted(drawing()), {"PCI:gpu": 1, "VCPU": 3}]) == {"PCI:gpu": 0}
    assert left_of(host("c2"), POLICY, [wanted(drawing())]) == {}


def test_a_declaration_that_is_no_number_declares_none() -> None:
    """Better to wait than to be turned to ERROR; what waits names the alias."""
    assert declared(gpus("c2", "many"), POLICY) == {"PCI:gpu": 0}


def test_a_host_without_a_declaration_is_refused_with_the_command_that_helps() -> None:
    """Nova would find no host, and turn the instance to ERROR."""
    free = {"VCPU": 9, "MEMORY_MB": 4096, "DISK_GB": 90}
    found = place(ask(drawing()), (host("c2"), host("c3")), Room({"c2": dict(free), "c3": dict(free)}))
    assert isinstance(found, Refused) and "of the alias gpu it has is not declared" in found.reason
    assert "openstack aggregate set --property hanode:pci:ALIAS=N" in found.remedy


def test_no_host_is_given_more_than_it_has() -> None:
    """Each placement takes its device before the next."""
    free = {"VCPU": 9, "MEMORY_MB": 9999, "DISK_GB": 90}
    room, hosts = Room({"c2": {**free, "PCI:gpu": 1}, "c3": {**free, "PCI:gpu": 1}}), (gpus("c2"), gpus("c3"))
    told = []
    for number in range(3):
        wants = ask(drawing(f"vm{number}"))
        found = place(wants, hosts, room)
        told.append(found.target if isinstance(found, Placed) else found.reason)
        if isinstance(found, Placed):
            room.take(wants, found.target)
    assert told[:2] == ["c2", "c3"] and "no room for 1 PCI:gpu" in told[2]


def test_capacity_knows_that_the_devices_do_not_suffice() -> None:
    """Room enough, and still nobody could take it."""
    stock = cloud({"a": 0, "b": 9999, "c": 9999}, {"a": {"web": 512}})
    hosts = {name: gpus(name, "1") for name in stock.hosts}
    servers = {**stock.servers, "a": (drawing("web", "a"),), "b": (drawing("other", "b"),)}
    stock = replace(stock, hosts=hosts, servers=servers, room=with_devices(stock.room, hosts, servers, Policy()))
    asked = Question("a fails", failures=(frozenset({"a"}),))
    assert answer(stock, asked, Policy(mode="act")).holds
    assert not answer(stock, replace(asked, failures=(frozenset({"a", "c"}),)), Policy(mode="act")).holds
    assert capacity_of(stock, "b")["PCI:gpu"] == 1
