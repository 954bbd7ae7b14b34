"""On which hosts would no port be wired? By what Neutron says of their L2 agents."""

from __future__ import annotations

from hanode.adapters.rest import Json, NoSuchService, Rest, parsing

PATH = "/v2.0/agents"

WIRES = frozenset({"Open vSwitch agent", "Linux bridge agent", "OVN Controller agent", "OVN Controller Gateway agent"})
"""Types of agents without which no port of an instance works (neutron_lib constants AGENT_TYPE_*, neutron ovn constants)."""


class Neutron:
    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def read_dead_agents(self) -> frozenset[str]:
        try:
            rows: list[Json] = self._rest.pages(PATH, "agents", lambda row: str(row["id"]), links="agents_links")
        except NoSuchService:
            return frozenset()  # without Neutron in the catalogue nobody has such agents
        with parsing("network", PATH):
            return frozenset(row["host"] for row in rows if row["agent_type"] in WIRES and not row["alive"])
