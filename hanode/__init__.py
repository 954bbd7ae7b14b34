"""hanode: proves that a failed nova-compute host is dead and restarts its instances elsewhere."""

__version__ = "0.1.0"
