"""Which options say where instances may go, and on which hosts they stand in?"""

from __future__ import annotations

from oslo_config import cfg

from hanode.conf.judgement import group

PCI_KEY = cfg.StrOpt(
    "pci_key", default="hanode:pci:", mutable=True,
    help="Aggregate metadata key, with a PCI alias behind it: how many such devices each host of the aggregate has (hanode:pci:gpu=4). "
    "Instances whose flavor asks for an alias (pci_passthrough:alias) wait while no host declares it: Nova tells nobody who has how many.")

SPARES = (
    group("spares", "Hosts that are kept in reserve: disabled in Nova, enabled when instances of failed hosts fit nowhere else, as few as "
          "suffice, and disabled again for their former reason when they are empty and the failed hosts are back."),
    [
        cfg.StrOpt("key", default="hanode:spare", mutable=True,
                   help="Aggregate metadata key: hosts of an aggregate where it is true are kept in reserve while they are disabled. A "
                   "host that you disable to repair it must leave that aggregate first (or use `hanode host maintenance`)."),
        cfg.StrOpt("reason", default="", mutable=True,
                   help="A host whose disabled reason contains this is kept in reserve, too (instanceha: reserved). Empty: no reason says "
                   "so. A word that people use for other things has hanode enable hosts that they have taken out of service."),
    ],
)
