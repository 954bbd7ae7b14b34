"""Which options set the fields of Policy?"""

from __future__ import annotations

from typing import Any

from oslo_config import cfg, types

from hanode.core.priority import SOURCES, Priority

MODES = ["observe", "approve", "act"]
RECOVERIES = [
    ("evacuate", "restart the instances on other hosts"),
    ("restart", "power the host off and on again and start its instances in place: for local disks"),
    ("none", "only report"),
]


def group(name: str, help_text: str) -> Any:
    return cfg.OptGroup(name, help=help_text)


def seconds(name: str, default: float | None, minimum: float, maximum: float, help_text: str, **more: Any) -> Any:
    """A duration. Reloadable unless said otherwise."""
    return cfg.FloatOpt(name, default=default, min=minimum, max=maximum, help=help_text, **{"mutable": True, **more})


def count(name: str, default: int, maximum: int, help_text: str, minimum: int = 1) -> Any:
    return cfg.IntOpt(name, default=default, min=minimum, max=maximum, help=help_text, mutable=True)


def names(name: str, default: list[str], help_text: str) -> Any:
    return cfg.ListOpt(name, default=default, help=help_text, mutable=True)


OFFICE = (
    group("office", "Leadership: one daemon acts, the others wait to take over."),
    [
        seconds("lease_ttl_s", 15.0, 5.0, 120.0,
                "A leader that could not renew its office for so long has lost it. Shorter: faster take-over, and more of them "
                "when the journal is slow. Must be the same on every daemon. systemd's WatchdogSec must stay below it.",
                mutable=False),
        seconds("hold_s", None, 0.0, 600.0,
                "A new leader fences nobody for so long: it must first hear every living host beat. Unset: 2 x [detection] "
                "report_interval_s. Shorter than that shoots healthy hosts after a take-over.",
                sample_default=20),
        seconds("hand_over_after_s", 30.0, 3.0, 3600.0,
                "A leader that could not read Nova, or reached no suspected host at all, for so long hands its office over to a standby "
                "that can; each time again within an hour it waits twice as long. Shorter: office changes for every hiccup. Longer: "
                "nobody is protected meanwhile."),
    ],
)

DETECTION = (
    group("detection", "How silence is measured, always on the leader's own clock."),
    [
        seconds("report_interval_s", 10.0, 1.0, 300.0,
                "Nova's own report_interval on the compute hosts. Must be the same value: set lower than Nova's, healthy hosts "
                "look silent; set higher, failures are found late."),
        seconds("suspect_after_s", None, 1.0, 900.0,
                "After so long without a heartbeat a host is looked at closely; nothing is done to it yet. Unset: 1.5 x "
                "report_interval_s. A host whose rhythm is known is suspected as soon as a silence is unlike it, but not before 1.5 x "
                "report_interval_s.", sample_default=15),
        seconds("suspect_at_most_s", None, 1.0, 900.0,
                "A host that reports irregularly is suspected after so long at the latest. Unset: 2.5 x report_interval_s. "
                "Longer: its death is found later where no power device proves it.", sample_default=25),
        seconds("fence_after_s", 60.0, 2.0, 3600.0,
                "After so long without any sign of life a host may be powered off. Its power device reading off cuts this "
                "short. Shorter: a rebooting switch can cost running hosts."),
        seconds("kdump_fence_after_s", None, 2.0, 3600.0,
                "A host whose kernel has said that it crashes ([probe] kdump_port) and that shows no sign of life may be powered off after "
                "so long. Unset: fence_after_s, as any other. Those messages are not signed: who can forge them then shortens the patience "
                "with a host that is cut off. Set it where nobody can.", sample_default=30),
        seconds("poll_s", None, 0.5, 150.0,
                "Nova's services are read so often. Unset: a third of report_interval_s. Longer: every failure is found later.",
                sample_default=3.3),
        cfg.StrOpt("restart_agent", sample_default="/usr/local/bin/restart-nova-compute {host} {ip}",
                   help="Program with arguments that starts nova-compute of a host again, {host} and {ip} (its host_ip) filled in. Asked "
                   "once per incident, when a host answers and only its nova-compute has been silent for fence_after_s. Exit code 0: "
                   "done. Unset: such a host is only reported, and nothing new is placed on it."),
        seconds("restart_agent_timeout_s", 30.0, 1.0, 300.0, "It is killed with its children after so long.", mutable=False),
        seconds("boot_s", 900.0, 30.0, 7200.0,
                "A host that was switched on again may be silent for so long before it is judged failed anew. Shorter than its "
                "firmware takes: it is powered off while it boots, again and again."),
    ],
)

BRAKE = (
    group("brake", "When many hosts fall silent at once, the network or the control plane is at fault: then nobody is fenced."),
    [
        count("hosts", 2, 1000, "Up to so many hosts may be suspect or in recovery at once, whatever `percent` says. 1: a second "
              "failure waits for the first one's end."),
        cfg.FloatOpt("percent", default=20.0, min=0.0, max=100.0, mutable=True,
                     help="Above this share of the protected hosts nobody is fenced until people have looked. 100 turns the "
                     "brake off: a failed switch can then power off the whole cloud."),
        seconds("storm_window_s", 600.0, 0.0, 86400.0,
                "Hosts that were powered off and recovered within so long still count as failing at once. Shorter: what kills hosts "
                "one after the other is not seen as one cause."),
        names("failure_domain_keys", ["rack"],
              "Aggregate metadata keys whose values name what hosts share (rack, pdu, switch). Three or more hosts with one value "
              "that are all silent are not fenced before each of them is proven dead. Availability zones and storage domains count "
              "by themselves."),
        seconds("named_s", 600.0, 30.0, 86400.0,
                "A host that an operator named (`hanode brake release`, `hanode host evacuate`) is judged by its own evidence alone, "
                "whatever the brake says, for so long."),
    ],
)

FENCING = (
    group("fencing", "Powering failed hosts off. The devices themselves are declared in config_file."),
    [
        count("max_at_once", 4, 100, "So many hosts are powered off at the same time at most. Higher: faster after the loss of a "
              "rack, and more harm done by a wrong judgement."),
        count("attempts", 3, 20, "After so many failed power-offs a person is asked to confirm that the host is dead."),
        seconds("backoff_s", 10.0, 0.5, 600.0, "Pause between two power-off attempts at one host."),
        seconds("timeout_s", 30.0, 1.0, 600.0, "A device that has not powered its host off after so long counts as failed."),
        seconds("settle_s", 30.0, 1.0, 600.0,
                "If a host lives although a power-off may have reached its device, it is left alone for so long before it is "
                "believed to live. Shorter than a device's longest delay: a late power-off hits a released host."),
        seconds("reading_gap_s", 2.0, 0.5, 60.0, "Two readings of `off` must be so far apart to be a proof."),
        seconds("proof_s", 10.0, 1.0, 60.0,
                "A proof of death older than this is renewed before the next evacuations are posted. Longer: a host that "
                "somebody powered on again may run an instance a second time."),
        seconds("kdump_wait_s", 120.0, 0.0, 7200.0,
                "While a kernel goes on saying that it crashes ([probe] kdump_port) its host is not powered off for so long, so that its "
                "dump is not lost. Longer: its instances stay down for as long as the dump takes, or as somebody forges the messages."),
        seconds("check_every_s", 3600.0, 0.0, 604800.0,
                "Each host's power devices are read about so often although nothing is wrong: can they be reached, do they let us in, "
                "are they still the same ones? Longer: what would fail in the night it is needed is found later. 0: never."),
    ],
)

EVACUATION = (
    group("evacuation", "Restarting instances on other hosts."),
    [
        count("max_at_once", 128, 1000, "Never more evacuations than this run at the same time. Below it hanode follows what Nova shows: "
              "it begins with 32, asks for more while they end quickly, and for fewer when they take longer or fail. Lower only "
              "if Nova serves others who must not notice."),
        count("max_per_target", 10, 100, "Never more than this to one host; it begins with 4. Nova itself does not limit rebuilds "
              "(max_concurrent_builds is about new servers only)."),
        count("max_per_domain", 64, 500, "Never more than this per storage domain; it begins with 32. A boot storm makes storage slow "
              "for everybody on it."),
        count("attempts", 3, 20, "After so many failed evacuations an instance is given to an operator."),
        seconds("retry_s", 10.0, 1.0, 600.0, "Instances without a place are tried again so often, besides at every change."),
        seconds("repost_settle_s", 120.0, 10.0, 3600.0,
                "An evacuation that Nova shows no trace of is only repeated after so long. Must cover [office] lease_ttl_s, "
                "[keystone] timeout_s and accept_lag_s together: shorter, an instance can be started twice."),
        seconds("accept_lag_s", 60.0, 1.0, 1800.0,
                "Nova writes an accepted evacuation down within so long, even when its queues are full."),
        seconds("hard_deadline_s", 2400.0, 60.0, 86400.0,
                "An evacuation that neither ends nor fails for so long is called STUCK and given to an operator."),
        seconds("restore_deadline_s", 300.0, 10.0, 7200.0,
                "A moved instance must be in its former power state within so long, or it is called STUCK."),
        seconds("follow_s", 1.0, 0.2, 30.0,
                "Open evacuations are looked up in Nova so often. Shorter: freed places are used sooner, at the price of more "
                "reads."),
        cfg.BoolOpt("stopped_first", default=False, mutable=True,
                    help="Move the disks of all that ran first, and start them afterwards: priority by priority, and each after those that "
                    "it starts after ([priority]; each wait at most after_wait_s). Needs compute API 2.95 and no nova-compute older than "
                    "27.0.0; refused, an instance is tried again as usual. What lies on a share starts as it arrives. On: the first "
                    "instance runs later than without, because it waits for the last disk."),
        seconds("home_watch_s", 180.0, 10.0, 3600.0,
                "A suspect host that reports again is watched for so long before it is believed: right after its own reboot Nova "
                "still shows guests as running that do not run. Shorter: such guests stay off."),
    ],
)

MAINTENANCE = (
    group("maintenance", "Making way for people who work on hosts (`hanode host maintenance`), by Nova's own migrations."),
    [
        count("max_at_once", 4, 100, "So many instances are migrated at the same time. Each live migration copies a guest's memory over "
              "the network: too many make all of them slow, and busy guests never end."),
        count("max_per_host", 2, 20, "So many of them from or to one host."),
        cfg.StrOpt("cold_migration", default="stopped", mutable=True,
                   choices=[("none", "only running instances are moved; stopped ones keep their host from being empty"),
                            ("stopped", "stopped instances are moved too"),
                            ("all", "also running ones, after every live migration of them has failed: they are stopped for that")],
                   help="What may be moved by a cold migration. `all` costs an instance a restart while nobody looks."),
        cfg.StrOpt("failback", default="never", mutable=True,
                   choices=[("never", "what was moved away from a failed host stays where it is"),
                            ("offer", "it is remembered for a week, and `hanode host failback HOST` moves it back"),
                            ("auto", "it is moved back once the host has been in service for failback_after_s without a fault")],
                   help="What becomes of the instances of a host that failed and was taken back. They are migrated live, one at a time "
                   "from each host, stopped ones as cold_migration says. `auto`: each migration is a risk that nobody needed."),
        seconds("failback_after_s", 600.0, 0.0, 7 * 86400.0,
                "With `failback = auto` nothing is moved back before. Shorter: a host that fails again at once takes them with it again."),
    ],
)

CAPACITY = (
    group("capacity", "What the cloud is meant to survive. The leader looks now and then, while nothing is wrong; when something of this "
          "does not hold there is an alarm. Nothing is ever refused because of it."),
    [
        cfg.IntOpt("failures", default=0, min=0, max=10, mutable=True,
                   help="So many hosts, whichever, may fail at once and every protected instance still finds a place. 0: not asked."),
        cfg.BoolOpt("racks", default=False, mutable=True,
                    help="The same of all hosts that share a value of [brake] failure_domain_keys, each rack by itself."),
        cfg.FloatOpt("free_percent", default=0.0, min=0.0, max=99.0, mutable=True,
                     help="So much of every resource is free on the hosts that take instances. 0: not asked. Says nothing of room that "
                     "lies in pieces: `failures` does."),
        names("dedicated_hosts", [], "Hosts that are kept empty for the instances of failed ones."),
        seconds("check_every_s", 900.0, 60.0, 86400.0,
                "The leader looks so often. Each look lists the servers of every host, one host after the other."),
    ],
)

STORAGE = (
    group("storage", "Which hosts see the same disks. Only between those are disks ever moved."),
    [
        cfg.StrOpt("key", default="hanode:storage", mutable=True,
                   help="Aggregate metadata key whose value names the storage domain of its hosts."),
        cfg.StrOpt("kind_key", default="hanode:kind", mutable=True,
                   help="Aggregate metadata key whose value is the domain's kind: rbd or file (the default)."),
        seconds("join_s", 600.0, 0.0, 86400.0,
                "A host that has just been declared for a storage domain takes no disks of it for so long. Shorter: a host that is not set "
                "up yet, or was declared by mistake, is given instances whose disks it does not have."),
        cfg.DictOpt("health", default={}, sample_default={"ceph1": "/usr/local/bin/storage-is-well {domain}"},
                    help="domain:program pairs. A domain whose program ends with another code than 0 (3: it could not look), or not within "
                    "health_timeout_s, is not known to be well: its hosts are not fenced on silence, and nothing is evacuated from them, "
                    "until it is. No commas in a command. One that calls a healthy store sick keeps its hosts unprotected."),
        seconds("health_timeout_s", 10.0, 0.5, 120.0, "A health program is killed with its children after so long, and has then not "
                "looked. Longer: a store that hangs is noticed later.", mutable=False),
        seconds("health_every_s", 10.0, 1.0, 600.0, "Health programs are run so often. Longer: hosts that stand still with their store "
                "may be powered off before that is known."),
        cfg.DictOpt("domains", default={}, mutable=True, sample_default={"compute1": "ceph1", "compute2": "ceph1"},
                    help="host:domain pairs; they win over aggregate metadata. A host that is wrongly said to share disks gets "
                    "instances whose disks it does not have."),
        cfg.Opt("kinds", type=types.Dict(types.String(choices=["rbd", "file"])), default={}, mutable=True,
                sample_default={"ceph1": "rbd"},
                help="domain:kind pairs, kind being rbd (a Ceph cluster) or file (a mounted share; the default). For file, Nova "
                "checks on the target that the disk is there; for rbd it need not."),
    ],
)

LEVELS = [str(level) for level in Priority]

PRIORITY = (
    group("priority", "Which instances are restarted first, over all failed hosts together, and who waits for whom."),
    [
        cfg.ListOpt("trust", default=["rules", "flavor", "image", "instance"], mutable=True,
                    item_type=types.String(choices=sorted(SOURCES)),
                    help="Whose word counts, the first that says something: `rules` (below), the extra specs of the flavor, the "
                    "properties of the image, the metadata of the instance. Tenants write the last: left out, they have no say; put "
                    "first, they outrank you."),
        cfg.Opt("rules", type=types.Dict(types.String(choices=LEVELS)), default={}, mutable=True,
                sample_default={"*/db-*": "highest", "3f2c*/*": "low"},
                help=f"PROJECT/NAME:PRIORITY, both patterns, the first that fits counts. Priorities: {', '.join(LEVELS)}. What is "
                "disabled is not restarted elsewhere; it is started again when its host is back."),
        cfg.ListOpt("keys", default=["hanode:priority"], mutable=True,
                    help="The extra spec, image property or metadata in which a priority stands; the first that does counts. Numbers are "
                    "read as instanceha's (1 to 1000, high first), so instanceha:restart_priority can be added."),
        names("opt_in_keys", [],
              "Not empty: only instances that carry one of these as true (metadata, extra spec or image property) are restarted "
              "elsewhere, all others are not. For tags that are there already: HA_Enabled of Masakari, evacuable of instanceha."),
        cfg.StrOpt("group_key", default="hanode:group", mutable=True,
                   help="Instance metadata that names a group, so that others can start after it."),
        cfg.StrOpt("after_key", default="hanode:after", mutable=True,
                   help="Instance metadata with the names of instances or groups of its project, separated by commas, after which it "
                   "starts."),
        seconds("after_wait_s", 300.0, 0.0, 86400.0,
                "An instance waits for those that it starts after until they are active on their new host (and ready), so long at most."),
        seconds("tier_wait_s", 0.0, 0.0, 86400.0,
                "A priority waits until all of the higher ones are active on their new hosts (and ready), so long at most. 0: they are "
                "only asked for first, and nobody waits. Longer: the less important stay down longer."),
        cfg.Opt("ready", type=types.Dict(types.String()), default={},
                sample_default={"*/db-*": "tcp:5432", "3f2c*/app-*": "/usr/local/bin/app-is-ready {id} {address}"},
                help="PROJECT/NAME:tcp:PORT or PROJECT/NAME:PROGRAM, the first that fits counts. What others wait for is ready when its "
                "port takes a connection, or when the program ends with 0 (3: it could not look). Without any word it is ready when it is "
                "active. Programs are run without a shell, with the instance's {id} and {address} filled in; no commas in a command."),
        cfg.ListOpt("ready_keys", default=["hanode:ready"], mutable=True,
                    help="The extra spec, image property or metadata in which tcp:PORT may stand, by `trust`; never a program."),
        cfg.ListOpt("ready_networks", default=[], mutable=True, sample_default=["203.0.113.0/24"],
                    help="Networks in which the controllers reach instances. The first fixed address of an instance that lies in one of "
                    "them is asked. Empty: no port is ever asked. Name no network of your own machines: tenants would choose what is "
                    "connected to there."),
        seconds("ready_wait_s", 120.0, 0.0, 86400.0,
                "An active instance that is not ready is waited for so long at most (and never longer than after_wait_s and tier_wait_s "
                "say); then the others go on without it. Longer: one that is broken keeps them down longer."),
        seconds("repeat_window_s", 86400.0, 0.0, 30 * 86400.0,
                "An instance that ran on two hosts that failed within so long may be what kills them: it is restarted last and alone, "
                "for which it waits for after_wait_s at most. "
                "Hosts of one rack ([brake] failure_domain_keys) that fail at once count for nobody who was on one of them. 0: nobody is "
                "doubted. Longer: more are, and come back later."),
        cfg.IntOpt("repeat_limit", default=3, min=0, max=100, mutable=True,
                   help="If it ran on so many (at least 2), it waits for `hanode incident retry HOST INSTANCE`. 0: it always goes. Higher: "
                   "a guest that kills its hosts kills as many, and with each of them all others there."),
        seconds("repeat_alone_s", 60.0, 0.0, 3600.0,
                "So long after such an instance has arrived nothing else is sent to its new host."),
        seconds("ready_timeout_s", 5.0, 0.5, 60.0, "A connection or a program has so long to answer; a program is killed with its "
                "children then.", mutable=False),
    ],
)

PROTECTION = (
    group("protection", "Which hosts and instances hanode cares for."),
    [
        names("aggregates", [], "Only hosts in one of these aggregates are protected. Empty: every host."),
        names("hypervisor_kinds", ["QEMU", "KVM"],
              "Hypervisor types that are protected. Never add a proxy's type (vCenter, Ironic): powering such a host off kills "
              "nothing, and its machines would run twice."),
        names("fence_living", [],
              "In these aggregates a host whose nova-compute is silent is fenced although the host itself answers. Its running "
              "guests are killed and restarted elsewhere, although nothing was wrong with them."),
        cfg.StrOpt("cell_key", default="hanode:cell", mutable=True,
                   help="Aggregate metadata key whose value names the Nova cell of its hosts: Nova evacuates within a cell only, and does "
                   "not tell who is in which. Needed only where there are several cells."),
        cfg.BoolOpt("protect_disabled", default=False, mutable=True,
                    help="Also protect hosts that somebody disabled. Off: people disable hosts before they work on them."),
        names("own_hosts", [], "Hosts that hanode itself runs on (hyperconverged controllers); never fenced."),
        names("skip_projects", [], "Ids of projects whose instances are never evacuated, e.g. Octavia's service project."),
        cfg.Opt("mode_by_aggregate", type=types.Dict(types.String(choices=MODES)), default={}, mutable=True,
                sample_default={"pilot": "act"},
                help="aggregate:mode pairs that override `mode` for the hosts of an aggregate: the way to arm one rack first."),
        cfg.StrOpt("recovery", default="evacuate", choices=RECOVERIES, mutable=True,
                   help="What is done for the instances of a failed host."),
        cfg.Opt("recovery_by_aggregate", type=types.Dict(types.String(choices=[name for name, _ in RECOVERIES])), default={},
                mutable=True, sample_default={"local-disks": "restart"},
                help="aggregate:recovery pairs that override `recovery` for the hosts of an aggregate."),
        cfg.StrOpt("release", default="operator", mutable=True,
                   choices=[("operator", "a recovered host takes instances again after `hanode host release`"),
                            ("auto", "a recovered host takes instances again by itself")],
                   help="Who lets a host that failed back in. `auto` takes it back once its evacuation records are finished and it has "
                   "reported for healthy_s; a host that fails again and again (flap_incidents) waits for an operator all the same."),
        seconds("healthy_s", 120.0, 0.0, 86400.0,
                "With `release = auto` a host is taken back after so long of fresh heartbeats. Shorter: a host that dies under its "
                "first load takes instances before it does."),
        count("flap_incidents", 3, 1000, "A host that was powered off so often, each time within flap_window_s of the time before, is "
              "neither switched on nor taken back by itself. Higher: a host with a fault that comes and goes fails with its guests again.",
              minimum=2),
        seconds("flap_window_s", 86400.0, 60.0, 30 * 86400.0,
                "See flap_incidents. After so long without a failure, or after `hanode host release`, earlier failures are forgotten."),
        cfg.BoolOpt("power_on", default=False, mutable=True,
                    help="Switch a host on again once each of its instances has found its end elsewhere (none may be STUCK), if its "
                    "power device has proven it off. On: what a repairman finds is not what failed."),
    ],
)
