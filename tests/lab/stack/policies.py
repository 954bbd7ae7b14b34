"""What may the user do as whom hanode watches the lab? What docs/security.md says, by the same command that an operator types."""

from __future__ import annotations

from hanode.adapters.rights import policy_of_glance, policy_of_nova, policy_of_placement

from .config import write
from .layout import HANODE, Lab
from .services import run


def write_policies(lab: Lab) -> None:
    """Before the services start. Needs their Python packages, which know every rule."""
    sample = run(lab, [lab.tool("oslopolicy-sample-generator"), "--namespace", "nova"])
    write(lab.path("etc", "nova", "policy.d", "hanode.yaml"), "\n".join(policy_of_nova(HANODE, sample)) + "\n")
    write(lab.path("etc", "glance", "policy.d", "hanode.yaml"), "\n".join(policy_of_glance(HANODE)) + "\n")
    write(lab.path("etc", "placement", "policy.d", "hanode.yaml"), "\n".join(policy_of_placement(HANODE)) + "\n")
