"""Which instance first? The order in which instances of a failed host are restarted."""

from __future__ import annotations

from collections.abc import Iterable

from hanode.core.records import InstanceRecovery


def restart_order(instances: Iterable[InstanceRecovery]) -> tuple[InstanceRecovery, ...]:
    """Those that ran before those that did not; among them the least tried first; then by name, so that it is the same for every leader."""
    return tuple(sorted(instances, key=lambda i: (i.before.power_state != "running", i.attempt, i.name, i.instance_id)))
