"""Which calls do the adapters make, and which rules of the services' policies allow them? The whole list; a test compares it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hanode.errors import Refused


@dataclass(frozen=True)
class Right:
    service: str  # "nova" | "placement" | "neutron" | "glance" | "keystone"
    method: str
    path: str  # with {} for ids; of an action its name after a space
    rules: tuple[str, ...]  # the releases of a service differ: not every one knows all of them


def _server(rule: str) -> str:
    return f"os_compute_api:servers:{rule}"


SHOWN = ("os_compute_api:os-extended-server-attributes", "os_compute_api:os-flavor-extra-specs:index", _server("show:flavor-extra-specs"))
"""What must stand in a server that is shown: its host, and what its flavor asks for."""

MIGRATE = "os_compute_api:os-migrate-server"

RIGHTS: tuple[Right, ...] = (
    Right("nova", "GET", "/os-services", ("os_compute_api:os-services:list",)),
    Right("nova", "PUT", "/os-services/{}", ("os_compute_api:os-services:update",)),
    Right("nova", "GET", "/os-hypervisors/detail", ("os_compute_api:os-hypervisors:list-detail",)),
    Right("nova", "GET", "/os-aggregates", ("os_compute_api:os-aggregates:index",)),
    Right("nova", "GET", "/servers/detail", (_server("detail"), _server("detail:get_all_tenants"), _server("allow_all_filters"), *SHOWN)),
    Right("nova", "GET", "/servers/{}", (_server("show"), *SHOWN)),
    Right("nova", "GET", "/servers/{}/os-instance-actions", ("os_compute_api:os-instance-actions:list",)),
    Right("nova", "GET", "/os-migrations", ("os_compute_api:os-migrations:index", "os_compute_api:os-migrations:index:all_projects",
                                            "os_compute_api:os-migrations:index:host")),
    Right("nova", "GET", "/os-server-groups", ("os_compute_api:os-server-groups:index",
                                               "os_compute_api:os-server-groups:index:all_projects")),
    Right("nova", "POST", "/servers/{}/action evacuate", ("os_compute_api:os-evacuate",)),
    Right("nova", "POST", "/servers/{}/action lock", ("os_compute_api:os-lock-server:lock",)),
    Right("nova", "POST", "/servers/{}/action unlock", ("os_compute_api:os-lock-server:unlock",
                                                        "os_compute_api:os-lock-server:unlock:unlock_override")),
    Right("nova", "POST", "/servers/{}/action os-start", (_server("start"),)),
    Right("nova", "POST", "/servers/{}/action os-stop", (_server("stop"),)),
    Right("nova", "POST", "/servers/{}/action os-migrateLive", (f"{MIGRATE}:migrate_live", f"{MIGRATE}:migrate_live:host")),
    Right("nova", "POST", "/servers/{}/action migrate", (f"{MIGRATE}:migrate", f"{MIGRATE}:migrate:host")),
    Right("nova", "POST", "/servers/{}/action confirmResize", (_server("confirm_resize"),)),
    Right("placement", "GET", "/resource_providers", ("placement:resource_providers:list",)),
    Right("placement", "GET", "/resource_providers/{}", ("placement:resource_providers:show",)),
    Right("placement", "GET", "/resource_providers/{}/inventories", ("placement:resource_providers:inventories:list",)),
    Right("placement", "GET", "/resource_providers/{}/usages", ("placement:resource_providers:usages",)),
    Right("placement", "GET", "/resource_providers/{}/allocations", ("placement:resource_providers:allocations:list",)),
    Right("placement", "GET", "/allocations/{}", ("placement:allocations:list",)),
    Right("placement", "PUT", "/allocations/{}", ("placement:allocations:update",)),
    Right("neutron", "GET", "/v2.0/agents", ("get_agent",)),
    Right("glance", "GET", "/v2/images", ("get_images",)),
    Right("keystone", "GET", "/users/{}", ("identity:get_user",)),
    Right("keystone", "GET", "/users/{}/application_credentials/{}", ("identity:get_application_credential",)),
)

RULE = re.compile(r'^#?"([^"]+)": "([^"]*)"$', re.MULTILINE)
"""As `oslopolicy-sample-generator` writes one; its comments have a space after the #."""

FREE = frozenset({"network:attach_external_network"})
"""Asked inside an evacuation; no call of ours."""


def rules_of(service: str) -> frozenset[str]:
    return frozenset(rule for right in RIGHTS if right.service == service for rule in right.rules)


def policy_of_placement(role: str) -> Iterator[str]:
    """Placement asks for no more than its rules: the role is let in where it has to."""
    for rule in sorted(rules_of("placement")):
        yield f'"{rule}": "role:admin or role:service or role:{role}"'


def policy_of_glance(role: str) -> Iterator[str]:
    """Its rule only lets in; which images are shown is a matter of their own visibility. Who has none of these roles was never let in."""
    for rule in sorted(rules_of("glance")):
        yield f'"{rule}": "role:admin or role:member or role:reader or role:{role}"'


def policy_of_nova(role: str, sample: str) -> Iterator[str]:
    """Nova shows other projects' servers to nobody who is not its administrator (the database layer asks for `is_admin`, before any
    rule), so the role is made one, and is then forbidden everything that is not in the list. `sample`: all rules of this release."""
    found = dict(RULE.findall(sample))
    unknown = [right for right in RIGHTS if right.service == "nova" and not found.keys() & set(right.rules)]
    if unknown or "context_is_admin" not in found:
        what = f"no rule for {unknown[0].method} {unknown[0].path}" if unknown else "no context_is_admin"
        raise Refused(f"{what}: give all rules as `oslopolicy-sample-generator --namespace nova` writes them")
    yield f'"context_is_admin": "({found["context_is_admin"]}) or role:{role}"'
    for rule, default in sorted(found.items()):
        if ":" in rule and rule not in rules_of("nova") | FREE:
            yield f'"{rule}": "({default or "@"}) and not role:{role}"'
