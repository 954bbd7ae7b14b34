"""Which options does hanode.conf have, and what does each one cost if it is wrong?

Options that say "can be changed without restarting" take effect on SIGHUP; the daemon says which others changed.
The options of the judgement itself (timings, limits, lists) are in `hanode.conf.judgement` and `hanode.conf.placing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oslo_config import cfg, types

from hanode.conf import judgement, placing
from hanode.conf.judgement import group
from hanode.core.news import Event

EVENTS = tuple(str(event) for event in Event if event is not Event.TEST)

CLUSTER_ID = r"[a-z0-9][a-z0-9._-]*"

DEFAULT = (
    cfg.OptGroup("DEFAULT", help="Besides these, the options of oslo.log apply here: debug, log_file, use_journal, ..."),
    [
        cfg.StrOpt(
            "mode",
            default="observe",
            mutable=True,
            choices=[
                ("observe", "judge and report, but write nothing to Nova and switch no power: for the first weeks"),
                ("approve", "as act, but every incident waits for `hanode incident approve`"),
                ("act", "fence failed hosts and evacuate their instances"),
            ],
            help="How far hanode may go. Only in `act` is anything restarted while everybody sleeps.",
        ),
        cfg.StrOpt(
            "host_id",
            sample_default="controller1",
            help="Name of this daemon in the journal, in `hanode status` and in logs. Two daemons with one name cannot "
            "be told apart by people; safety does not depend on it. Unset: the host name of the machine.",
        ),
        cfg.Opt(
            "cluster_id",
            type=types.String(regex=CLUSTER_ID, max_length=64),
            default="default",
            help="Daemons with the same journal and cluster_id elect one leader among them. Two clouds sharing one etcd "
            "need two cluster_ids; a daemon of another cloud refuses to start. Lower case letters, digits, '.', '_', '-'.",
        ),
        cfg.BoolOpt("daily_check", default=True,
                    help="The leader runs `hanode config check` by itself, ten minutes after it took office, then once a day, and when "
                    "Nova was upgraded. What is wrong with a cloud is found on a quiet day; false: only when you type it."),
        cfg.FloatOpt("target_recovery_s", default=120.0, min=1.0, max=86400.0, mutable=True,
                     help="The recovery time of an instance that you aim at, from its host's last heartbeat. Reports are measured by it, "
                     "and by the alert HanodeRecoverySlow, which no recovery within it fires; nothing is decided by it."),
    ],
)

KEYSTONE = (
    group("keystone", "How to reach the cloud, as an administrator. The environment (OS_*) is never read."),
    [
        cfg.StrOpt("auth_url", sample_default="https://keystone.example.org:5000/v3",
                   help="Identity endpoint. Needed unless `cloud` is set. Together with region_name it names the cloud in the "
                   "journal: a changed value is taken for another cloud, and the daemon refuses to act on old records."),
        cfg.StrOpt("username", help="User with the admin role in Nova: reading all projects, evacuating, locking."),
        cfg.StrOpt("password", secret=True,
                   help="Its password. Better in password_file. A literal $ is written $$ here."),
        cfg.StrOpt("password_file",
                   help="File whose content is the password, readable by the daemon's user only. Read at start: restart the "
                   "daemon after a rotation, which costs nothing but a take-over."),
        cfg.StrOpt("application_credential_id", help="Instead of username: id of an application credential."),
        cfg.StrOpt("application_credential_secret_file",
                   help="File whose content is the secret of application_credential_id."),
        cfg.StrOpt("project_name", default="admin", help="Project of the user; not used with an application credential."),
        cfg.StrOpt("user_domain_name", default="Default", help="Domain of the user."),
        cfg.StrOpt("project_domain_name", default="Default", help="Domain of the project."),
        cfg.StrOpt("region_name", default="", help="Region whose hosts are watched: one hanode per region. Empty: the only one."),
        cfg.StrOpt("interface", default="internal", choices=["internal", "public", "admin"],
                   help="Which endpoints of the catalogue are used. `public` often runs through a load balancer that fails "
                   "with the very host it should help to recover."),
        cfg.StrOpt("cafile", help="Bundle of CA certificates for the cloud's https endpoints. Unset: the system's."),
        cfg.FloatOpt("timeout_s", default=30.0, min=1.0, max=120.0,
                     help="Give up a call to the cloud after so long. Longer: an unanswered evacuation stays in doubt for "
                     "longer, and [evacuation] repost_settle_s must grow with it."),
        cfg.StrOpt("cloud", help="Name of an entry in clouds_file, instead of the options above (timeout_s still applies)."),
        cfg.StrOpt("clouds_file", default="/etc/openstack/clouds.yaml", help="The clouds.yaml in which `cloud` is looked up."),
    ],
)

JOURNAL = (
    group("journal", "Where the daemons keep their records and agree on who acts."),
    [
        cfg.StrOpt("url", default="sqlite:///var/lib/hanode/journal.db",
                   help="etcd3+http://HOST:2379,HOST:2379,HOST:2379 (or etcd3+https://) for several daemons; sqlite:///PATH on "
                   "a local disk for exactly one. Daemons with different journals do not know of each other and act twice."),
        cfg.StrOpt("ca_file", help="CA certificate by which the etcd members are trusted."),
        cfg.StrOpt("cert_file", help="Client certificate for etcd."),
        cfg.StrOpt("key_file", help="Private key of cert_file."),
        cfg.StrOpt("username", help="etcd user, when etcd's authentication is on."),
        cfg.StrOpt("password_file", help="File whose content is that user's password."),
        cfg.FloatOpt("timeout_s", default=2.0, min=0.2, max=12.0,
                     help="Give up a call to the journal after so long. At most a fifth of [office] lease_ttl_s, or one slow "
                     "call could cost the leader its office."),
        cfg.IntOpt("history", default=200, min=1, max=10000,
                   help="So many ended incidents are kept for `hanode incident list --all`; older ones are forgotten."),
    ],
)

PROBE = (
    group("probe", "A second opinion besides Nova's heartbeat: does the host itself answer?"),
    [
        cfg.StrOpt("kind", default="icmp", choices=[
                       ("icmp", "ping; needs ping_group_range or CAP_NET_RAW"),
                       ("tcp", "connect to `port`"),
                       ("none", "no probe: hosts without a power device are then never fenced, only reported")],
                   help="How a host is asked. A host that answers is never fenced, whatever Nova says of it."),
        cfg.PortOpt("port", default=22, help="For kind tcp: a port that only a living host answers."),
        cfg.StrOpt("banner", default="",
                   help="For kind tcp: what the answer must begin with, e.g. SSH-. Empty: a connection is enough, which a "
                   "proxy or a NAT device in between can fake."),
        cfg.FloatOpt("timeout_s", default=2.0, min=0.1, max=10.0,
                     help="Silence for so long is no answer. Too short: a busy host seems silent, one signal of life less."),
        cfg.DictOpt("networks", default={}, sample_default={"storage": "10.20.0.0/16", "tenant": "10.30.0.0/16"},
                    help="name:prefix pairs of further networks on which every host is asked. There a host has the last bits of its "
                    "host_ip: 192.0.2.11 is 10.20.2.11 in 10.20.0.0/16. A host that answers on one of its networks is never fenced; "
                    "one that is silent on some of them is PARTITIONED. A network that cannot be asked from here keeps all hosts "
                    "from being fenced on silence: declare only what every daemon reaches."),
        cfg.DictOpt("network_kinds", default={}, sample_default={"storage": "tcp/22/SSH-", "tenant": "icmp"},
                    help="name:kind pairs for `networks`: icmp, tcp, tcp/PORT or tcp/PORT/BANNER. Unset: as kind, port and banner above."),
        cfg.DictOpt("addresses", default={}, sample_default={"compute1": "192.0.2.11", "compute1@storage": "10.20.0.11"},
                    help="host:address pairs for hosts to be asked elsewhere than at the hypervisor's host_ip, and host@network:address "
                    "pairs for those whose address in one of `networks` does not follow from it."),
        cfg.StrOpt("command", sample_default="/usr/local/bin/is-alive {host} {address}",
                   help="A program that is asked as well, as one more network of the name `command`: {host} and {address} (its host_ip) "
                   "are filled in. It ends with 0 if the host lives, with 1 if it heard nothing; any other end means that it could not "
                   "look. One that vouches for dead hosts keeps them from ever being fenced."),
        cfg.PortOpt("kdump_port", default=0, sample_default=7410,
                    help="Listen here (UDP) for kernels that crash and say so with fence_kdump_send, whose port is 7410. A power-off then "
                    "waits for the dump ([fencing] kdump_wait_s). The messages are not signed, so they never prove anything. They count "
                    "when they come from the host's host_ip or one of its addresses in `networks`. 0: nobody listens."),
        cfg.StrOpt("kdump_address", default="0.0.0.0",
                   help="Address to listen on for kdump_port. Best the one of the management network, so that others cannot even send."),
        cfg.FloatOpt("kdump_silence_s", default=25.0, min=1.0, max=600.0,
                     help="A dump is over when no message came for so long: two and a half intervals of fence_kdump_send (-i, 10 s). "
                     "Shorter: a lost packet ends the wait, and the dump. Longer: each crashed host is powered off later."),
        cfg.FloatOpt("command_timeout_s", default=10.0, min=0.1, max=60.0,
                     help="`command` is killed with its children after so long, and has then not looked."),
    ],
)

WEB = (
    group("web", "The web port: /metrics for Prometheus, /healthz, /readyz, the read-only API and the status page."),
    [
        cfg.StrOpt("address", default="127.0.0.1",
                   help="Address to listen on. Other than loopback needs a password_file or a client_ca_file, or web_public_read: "
                   "the page names every failed host and its instances."),
        cfg.IntOpt("port", default=9732, min=0, max=65535,
                   help="Port to listen on; 0 turns everything here off, and then nobody is paged when hanode itself fails."),
        cfg.StrOpt("cert_file", mutable=True, help="Certificate (with its chain) for https. Unset: plain http."),
        cfg.StrOpt("key_file", mutable=True, help="Private key of cert_file, readable by the daemon's user only."),
        cfg.StrOpt("client_ca_file", mutable=True,
                   help="CA certificates: only clients that show a certificate of one of them are let in. Needs cert_file."),
        cfg.StrOpt("password_file", mutable=True,
                   help="Who may read, one user:hash a line, as `htpasswd -nB USER` (bcrypt) prints it. /healthz and /readyz stay "
                   "open for load balancers. Unset: no password is asked. Read again on SIGHUP, as the certificates are."),
        cfg.BoolOpt("web_public_read", default=False, mutable=True,
                    help="Let anybody who reaches another address than loopback read hosts, instances and what operators said."),
    ],
)

NOTIFICATIONS = (
    group("notifications", "Who is told without asking: alarms, incidents, the brake. Only the leader tells; a recovery never "
          "waits for it. Try it with `hanode notify test`."),
    [
        cfg.StrOpt("webhook_url", secret=True,
                   help="http(s) address to which each notification is posted as JSON. Unset: no webhook. A token in the address is a "
                   "secret: then use webhook_url_file. See docs/notifications.md for the fields."),
        cfg.StrOpt("webhook_url_file", help="File whose content is the address, instead of webhook_url."),
        cfg.StrOpt("webhook_secret_file",
                   help="File whose content signs each notification (HMAC-SHA256, header X-Hanode-Signature). Unset: whoever reaches "
                   "the receiver can tell it anything in our name."),
        cfg.StrOpt("webhook_ca_file", help="CA certificates by which the receiver is trusted. Unset: the system's."),
        cfg.StrOpt("command", sample_default="/usr/local/bin/tell-oncall --from hanode",
                   help="Program with arguments that is started for each notification and reads its JSON from standard input. Exit code "
                   "0: told; any other: tried again. No shell is involved."),
        cfg.StrOpt("messaging_url", secret=True,
                   help="Transport URL of oslo.messaging (rabbit://USER:PASSWORD@HOST:5672/), on which versioned notifications are sent. "
                   "Unset: none. Needs `pip install hanode[messaging]`. It holds a password: better use messaging_url_file."),
        cfg.StrOpt("messaging_url_file", help="File whose content is the transport URL, instead of messaging_url."),
        cfg.StrOpt("messaging_topic", default="hanode", regex=r"[A-Za-z0-9_.-]+",
                   help="Notifications go to the queues TOPIC.info, TOPIC.warn and TOPIC.error. Nova's own topic is `notifications`: "
                   "whoever reads that may not know ours. Where nobody reads a topic, its messages pile up."),
        cfg.FloatOpt("timeout_s", default=5.0, min=0.5, max=120.0,
                     help="One attempt lasts at most so long; a command is killed then, with its children."),
        cfg.FloatOpt("give_up_s", default=3600.0, min=1.0, max=86400.0,
                     help="A notification that could not be delivered for so long is given up: what is older is no news."),
        cfg.ListOpt("events", default=list(EVENTS), item_type=types.String(choices=EVENTS),
                    help="What is told: leader (a daemon took office), incident (begins, ends), recovered (all instances are accounted "
                    "for), needs-operator, lost (instances STUCK or FAILED), brake (a hold begins, ends), quarantine (a power device is "
                    "not believed), check (`hanode config check` found an error by itself), alarm (every other alarm of the log)."),
    ],
)

DRILL = (
    group("drill", "Rehearsing the failure of a host (`hanode drill HOST`). Only that command reads these options, not the daemon."),
    [
        cfg.StrOpt("flavor", sample_default="1f3a6b1c-0d5e-4c57-9d3a-7c1f2f0f4b11",
                   help="Id of the flavor of canaries, the instances that are made on the host for a drill and deleted after it. They "
                   "prove most when their disks are where your customers' disks are. Unset: none are made, and only instances with "
                   "canary_key are canaries."),
        cfg.StrOpt("image", sample_default="8a4b5f0e-2f27-45a4-a1c2-0d5f4e1b9c33",
                   help="Id of the image of canaries. Needed with flavor."),
        cfg.StrOpt("network", default="",
                   help="Id of the network of canaries. Empty: they have none, and what Neutron does with ports is not rehearsed."),
        cfg.IntOpt("count", default=2, min=1, max=20, help="So many canaries are made."),
        cfg.StrOpt("canary_key", default="hanode:canary",
                   help="Instances on the host with this key in their metadata are canaries as well. They are never deleted; where there "
                   "is one, none is made."),
        cfg.StrOpt("check_command", sample_default="/usr/local/bin/canary {when} {server} {name}",
                   help="Program with arguments that is run for each canary, with {when} `before` the power is cut and `after` the canary "
                   "is back, {server} its id and {name} its name. Exit code 0: it is well. Let it write something into the guest before "
                   "and look for it after: nothing else proves that a disk was kept. No shell is involved. Unset: nobody looks into them."),
        cfg.FloatOpt("timeout_s", default=120.0, min=1.0, max=3600.0,
                     help="Canaries must be up and deleted within so long, and a check_command must end; otherwise the drill has failed."),
        cfg.StrOpt("clouds_file", help="A clouds.yaml with the login that makes and deletes canaries. Unset: that of group [keystone], "
                   "whose role then needs more rights than the daemon does."),
        cfg.StrOpt("cloud", help="Name of the cloud in clouds_file."),
    ],
)

FENCING_FILES = [
    cfg.StrOpt("config_file", default="/etc/hanode/fencing.yaml",
               help="The power devices of the hosts. A host without a device can only be confirmed dead by a person. Its content "
               "is read again on SIGHUP. Empty: there are no devices."),
    cfg.StrOpt("config_dir", default="/etc/hanode/fencing.d", help="More such files (*.yaml); need not exist."),
]

IMAGE_TAGS = cfg.ListOpt("skip_image_tags", default=["amphora-image", "amphora"],
                         help="Instances of images with one of these Glance tags are never evacuated: Octavia replaces its "
                         "amphorae by itself, and two replacements fight.")

Group = tuple[Any, Sequence[Any]]  # oslo.config ships no types


def list_opts() -> list[Group]:
    """All groups with their options, for registration and for oslo-config-generator."""
    return [
        DEFAULT, KEYSTONE, JOURNAL, judgement.OFFICE, judgement.DETECTION, PROBE, judgement.BRAKE,
        (judgement.FENCING[0], [*FENCING_FILES, *judgement.FENCING[1]]),
        (judgement.EVACUATION[0], [*judgement.EVACUATION[1], placing.PCI_KEY]), judgement.MAINTENANCE, DRILL, placing.SPARES,
        judgement.CAPACITY, judgement.STORAGE, judgement.PRIORITY,
        (judgement.PROTECTION[0], [*judgement.PROTECTION[1], IMAGE_TAGS]),
        WEB, NOTIFICATIONS,
    ]
