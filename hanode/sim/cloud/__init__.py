"""The simulated world over real HTTP on loopback: Keystone, Nova, Placement, Glance, Redfish, and probes of hosts.

    world = example_world(hosts=8, domains=2, servers=40)
    cloud = EmbeddedCloud(world, speed=1.0)
    urls = cloud.start()
    ... Credentials(**cloud.credentials), cloud.fencing_yaml(), cloud.probe_port
    ... POST urls.control {"do": "power_cut", "host": "cn1"}
    cloud.stop()

`python -m hanode.sim.cloud --hosts 8 --state-file F` runs it as a process of its own.
"""

from hanode.sim.cloud.example import example_world
from hanode.sim.cloud.server import EmbeddedCloud, Urls

__all__ = ["EmbeddedCloud", "Urls", "example_world"]
