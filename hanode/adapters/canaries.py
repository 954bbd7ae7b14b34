"""Instances that exist to be lost: made on one host for a drill, and deleted after it.

Only the command line uses this, in the moment in which an operator types; the daemon never makes or deletes an instance, and needs
no right to. What is made carries the drill's own mark in its name and in its metadata, and only what carries both is ever deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hanode.adapters.keystone import Credentials, Keystone
from hanode.adapters.rest import NotFound, parsing

CREATE = "2.74"
"""The oldest microversion that takes a host by name and still asks the scheduler (api-guide, `host` of POST /servers)."""

MARK = "hanode:drill"


@dataclass(frozen=True)
class Kind:
    """What a canary is made of, by Nova's and Glance's ids."""

    flavor: str
    image: str
    network: str = ""  # "": none


@dataclass(frozen=True)
class Canary:
    instance_id: str
    name: str
    host: str
    status: str  # as Nova's API says it
    fault: str = ""


class Canaries:
    """Those of one tag, which no other drill has."""

    def __init__(self, credentials: Credentials, tag: str) -> None:
        self._compute = Keystone(credentials).rest("compute", major="2")
        self._tag = tag

    def make(self, host: str, number: int, kind: Kind) -> None:
        """Ask Nova for one on this host. Raises Refused, Unreachable or Ambiguous; `find` tells what came of it."""
        server = {
            "name": f"{self._tag}-{number}",
            "flavorRef": kind.flavor,
            "imageRef": kind.image,
            "networks": [{"uuid": kind.network}] if kind.network else "none",
            "metadata": {MARK: self._tag},
            "host": host,
        }
        self._compute.write("POST", "/servers", {"server": server}, microversion=CREATE)

    def find(self) -> tuple[Canary, ...]:
        """All of them, wherever they are, by name. Raises Refused or Unreachable."""
        path = "/servers/detail"
        rows = self._compute.pages(
            path, "servers", lambda row: str(row["id"]), microversion=CREATE, params={"all_tenants": "1", "name": self._tag}
        )
        with parsing("compute", path):
            # Nova matches a name anywhere and by regular expression: what is deleted is told by both marks, exactly.
            ours = [row for row in rows if row["name"].startswith(f"{self._tag}-") and row["metadata"].get(MARK) == self._tag]
            found = [Canary(row["id"], row["name"], row.get("OS-EXT-SRV-ATTR:host") or "", row["status"], _fault(row)) for row in ours]
        return tuple(sorted(found, key=lambda canary: canary.name))

    def delete(self, canary: Canary) -> None:
        """One that `find` gave; that it is gone already is as good. Raises Refused, Unreachable or Ambiguous."""
        try:
            self._compute.write("DELETE", f"/servers/{canary.instance_id}", None, microversion=CREATE)
        except NotFound:
            return


def _fault(row: Mapping[str, Any]) -> str:
    return str(row.get("fault", {}).get("message", ""))
