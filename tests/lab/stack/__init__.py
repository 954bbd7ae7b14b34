"""How does a real OpenStack come up on one machine, for hanode to be tried on?

`python3 -m tests.lab.stack up` (from the repository's root) brings up keystone, placement, glance,
nova with several nova-compute hosts, etcd and their database and broker, all on loopback. Every host
has a BMC, a power switch, storage and guests that are real processes; see README.md beside this file.
"""
