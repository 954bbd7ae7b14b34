"""What is in the cloud once it is up: accounts, endpoints, flavors, an image, aggregates?

Run by the lab's own Python (`-m tests.lab.stack.contents accounts|objects`), because that has openstacksdk.
"""

from __future__ import annotations

import sys

import openstack
from openstack.connection import Connection

from .client import connect, hosts_up
from .layout import HANODE, REGION, SECRET, Lab

ENDPOINTS = {
    "placement": ("placement", ""),
    "image": ("glance", ""),
    "network": ("network", ""),
    "compute": ("nova-api", "/v2.1"),
}
# name: vCPU, MB of memory, GB of disk, GB of ephemeral disk, MB of swap
FLAVORS = {
    "tiny": (1, 64, 1, 0, 0),
    "scratch": (1, 64, 1, 1, 64),
    # Four of these fill a host.
    "quarter": (10, 512, 1, 0, 0),
}
IMAGE = "tiny"


def create_accounts(lab: Lab, cloud: Connection) -> None:
    project = cloud.identity.create_project(name="service", domain_id="default")
    roles = {role.name: role for role in cloud.identity.roles()}
    for name in ("service", "admin"):
        if name not in roles:
            roles[name] = cloud.identity.create_role(name=name)
    for name in ("nova", "placement", "glance"):
        user = cloud.identity.create_user(name=name, password=SECRET, domain_id="default")
        for role in ("admin", "service"):
            cloud.identity.assign_project_role_to_user(project, user, roles[role])
    watcher = cloud.identity.create_user(name=HANODE, password=SECRET, domain_id="default")
    cloud.identity.assign_project_role_to_user(project, watcher, cloud.identity.create_role(name=HANODE))
    for kind, (name, path) in ENDPOINTS.items():
        service = cloud.identity.create_service(name=name, type=kind)
        url = lab.url(name, path)
        cloud.identity.create_endpoint(service_id=service.id, interface="public", url=url, region_id=REGION)


def create_objects(lab: Lab, cloud: Connection) -> None:
    for name, (vcpus, ram, disk, ephemeral, swap) in FLAVORS.items():
        cloud.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk, ephemeral=ephemeral, swap=swap, is_public=True)
    cloud.image.create_image(name=IMAGE, data=b"tiny", disk_format="raw", container_format="bare", visibility="public", wait=True)
    hosts_up(cloud, [host.name for host in lab.hosts], timeout_s=300)
    for domain in lab.domains:
        aggregate = cloud.compute.create_aggregate(name=f"domain-{domain}")
        metadata = {"hanode:storage": domain, "hanode:kind": "file"}
        cloud.compute.set_aggregate_metadata(aggregate, metadata)
        for host in lab.hosts:
            if host.domain == domain:
                cloud.compute.add_host_to_aggregate(aggregate, host.name)


def main() -> None:
    lab = Lab.from_environment()
    openstack.enable_logging(debug=False)
    steps = {"accounts": create_accounts, "objects": create_objects}
    steps[sys.argv[1]](lab, connect(lab))


if __name__ == "__main__":
    main()
