"""What does an instance need of a host beside room, by its flavor and its image? What Nova's scheduler reads, read the same way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from hanode.core.facts import Instance
from hanode.core.once import once_with

TRAIT = re.compile(r"^trait:(?P<name>[A-Z0-9_]+)$")
AGGREGATE_SPEC = "aggregate_instance_extra_specs:"
PCI_ALIAS = "pci_passthrough:alias"


@dataclass(frozen=True)
class Needs:
    required: frozenset[str] = frozenset()  # traits that its host must have
    forbidden: frozenset[str] = frozenset()  # traits that its host must not have
    aggregate: tuple[tuple[str, str], ...] = ()  # metadata that an aggregate of its host must carry -> wanted value
    devices: tuple[tuple[str, int], ...] = ()  # PCI alias -> how many
    tpm: bool = False  # has a virtual TPM, whose state lies on its host

    @property
    def traits(self) -> frozenset[str]:
        return self.required | self.forbidden


@once_with
def needs_of(instance: Instance) -> Needs:
    """Sources: nova scheduler/utils.py `ResourceRequest`, filters/aggregate_instance_extra_specs.py, pci/request.py."""
    return _read(tuple(sorted(instance.extra_specs.items())), tuple(sorted(instance.image_properties.items())))


@lru_cache(maxsize=4096)  # there are far fewer flavors and images than instances
def _read(of_flavor: tuple[tuple[str, str], ...], of_image: tuple[tuple[str, str], ...]) -> Needs:
    specs, image = dict(of_flavor), dict(of_image)
    traits = [(found["name"], value) for source in (specs, image) for key, value in source.items() if (found := TRAIT.match(key))]
    aggregate = [(key.removeprefix(AGGREGATE_SPEC), value) for key, value in specs.items() if key.startswith(AGGREGATE_SPEC)]
    return Needs(
        required=frozenset(name for name, value in traits if value == "required"),
        forbidden=frozenset(name for name, value in traits if value == "forbidden"),
        aggregate=tuple(sorted(aggregate)),
        devices=_devices(specs.get(PCI_ALIAS, "")),
        tpm="hw:tpm_version" in specs or "hw_tpm_version" in image,
    )


def _devices(text: str) -> tuple[tuple[str, int], ...]:
    """"a1:2,a2" -> two of a1 and one of a2."""
    found: dict[str, int] = {}
    for part in filter(None, (word.strip() for word in text.split(","))):
        name, _, count = part.partition(":")
        found[name] = found.get(name, 0) + (int(count) if count.isdigit() else 1)
    return tuple(sorted(found.items()))
