"""What does a small cloud for demos and tests consist of?"""

from __future__ import annotations

import ipaddress

from hanode.sim.world import Domain, Inventory, Timings, World

ROOM = {
    "VCPU": Inventory(total=16, ratio=4.0),
    "MEMORY_MB": Inventory(total=65536, reserved=2048),
    "DISK_GB": Inventory(total=2000),
}
QUICK = Timings(report_interval_s=2.0, service_down_time_s=8.0, boot_s=10.0, agent_start_s=1.0, sync_power_s=3.0, off_s=1.0,
                on_s=1.0, start_s=1.0, stop_s=1.0, conductor_s=0.2, claim_s=0.2, attach_s=0.2, spawn_s=1.0, finish_s=0.2)


def example_world(hosts: int = 8, domains: int = 2, servers: int = 40, seed: int = 1, timings: Timings = QUICK,
                  probe_network: str = "127.0.2.0") -> World:
    """Hosts cn1.. in storage domains ceph-a, ceph-b.., servers vm1.. spread over them; every seventh is stopped."""
    world = World(seed=seed, timings=timings)
    names = [f"cn{number}" for number in range(1, hosts + 1)]
    homes = {name: f"ceph-{chr(ord('a') + place * domains // hosts)}" for place, name in enumerate(names)}
    for number, name in enumerate(names, 1):
        world.add_host(name, domain=Domain(homes[name], "rbd"), inventories=ROOM,
                       host_ip=str(ipaddress.ip_address(probe_network) + number))
    for domain in sorted(set(homes.values())):
        world.add_aggregate(domain, [name for name in names if homes[name] == domain],
                            {"hanode:storage": domain, "hanode:kind": "rbd"})
    for number in range(1, servers + 1):
        world.add_server(f"vm{number}", names[(number - 1) % hosts], vm_state="stopped" if number % 7 == 0 else "active",
                         volume_boot=number % 3 == 0)
    return world
