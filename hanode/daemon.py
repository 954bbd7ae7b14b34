"""Who is connected to whom, and how does the process live: start, tick, reload, hand over, end?

The one place that knows the adapters. Crash-only: an unexpected error ends the process, systemd starts it again, and the
journal tells the next leader everything that it needs.
"""

from __future__ import annotations

import difflib
import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from oslo_log import log

import hanode
from hanode import metrics
from hanode.adapters.clock import SystemClock
from hanode.adapters.daily_check import DailyCheck
from hanode.adapters.etcd_client import Access
from hanode.adapters.executor import ThreadExecutor
from hanode.adapters.fencing import config as fencing
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.journal import open_journal
from hanode.adapters.journal.measured import MeasuredJournal
from hanode.adapters.kdump import Listener
from hanode.adapters.keystone import Credentials
from hanode.adapters.leadership import open_leadership
from hanode.adapters.notify import Channel, channels, open_notifier
from hanode.adapters.notify.courier import Couriers
from hanode.adapters.notify.message import Sender
from hanode.adapters.openstack import OpenStackCloud
from hanode.adapters.probes import CommandSettings, Probes, ProbeSettings
from hanode.adapters.programs import Programs, ProgramSettings
from hanode.adapters.systemd import Systemd
from hanode.conf import build
from hanode.conf.probing import Network, kdump
from hanode.core.decisions import Verdict
from hanode.core.policy import Policy
from hanode.core.preview import Lasted
from hanode.engine import tick
from hanode.engine.bell import Bell
from hanode.engine.forecast import Past
from hanode.engine.herald import Herald
from hanode.engine.ledger import ForeignJournal, Ledger
from hanode.engine.log_line import keep_lines
from hanode.engine.measure import Meter
from hanode.engine.narrate import Chorus, LogNarrator
from hanode.engine.office import Office
from hanode.errors import Ambiguous, ConfigError, HanodeError, Refused, Unreachable
from hanode.ports import Journal, Probe
from hanode.web.door import Door
from hanode.web.server import Web
from hanode.web.site import Pulse

LOG = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses between attempts to reach what we need at start; the last one again and again."""

ACTS_END_S = 10.0
NEWS_END_S = 5.0

BREATH = 3.0
"""A tick that took a moment is followed by a rest of three, however often the bell rings: a quarter of a processor at most."""
LONGEST_BREATH_S = 0.5

WRONG_CONFIGURATION = 2


class Engine(Protocol):
    """What the daemon needs of `hanode.engine.tick.Engine`."""

    wake: Callable[[], None]
    summary: str
    trouble: str
    status: Mapping[str, Any]

    @property
    def leads(self) -> bool: ...
    @property
    def ready(self) -> bool: ...
    def tick(self) -> float: ...
    def resign(self) -> None: ...
    def reload(self, policy: Policy) -> None: ...


@dataclass(frozen=True)
class Parts:
    engine: Engine
    executor: ThreadExecutor
    devices: Devices
    policy: Policy
    journal: Journal | None = None  # for those who only read
    cloud: str = ""
    notifier: Couriers = field(default_factory=Couriers)
    check: DailyCheck | None = None
    lasted: Callable[[bool, bool], Lasted] = lambda *_: Lasted()  # as `Past.lasted`


class Patiently(Protocol):
    def __call__(self, what: str, call: Callable[[], T]) -> T:
        """Call again and again until the other side answers; raises ConfigError and _Stopped."""
        ...


class _Stopped(Exception):
    """We were asked to end before we were connected."""


class Daemon:
    def __init__(self, settings: build.Settings, wire: Callable[[build.Settings, Patiently], Parts], systemd: Systemd,
                 web: Web | None = None) -> None:
        self._started_with = settings
        self._wire = wire
        self._systemd = systemd
        self._web = web or Web()
        self._bell = Bell()
        self._pause = threading.Event()  # never set: a wait that signals do not cut short and that holds no lock
        self._stopping = False
        self._hung_up = False
        self._said = ""
        self._meter = Meter()
        self._strays: frozenset[str] = frozenset()  # hosts of fencing.yaml that were said to be unknown to Nova

    # ------------------------------------------------------------------ asked from outside

    def listen(self) -> None:
        """Take the signals. The handlers only set a flag and ring: anything more could deadlock with what they interrupt."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        signal.signal(signal.SIGINT, lambda *_: self.stop())
        signal.signal(signal.SIGHUP, lambda *_: self.hang_up())

    def stop(self) -> None:
        self._stopping = True
        self._bell.ring()

    def hang_up(self) -> None:
        self._hung_up = True
        self._bell.ring()

    # ------------------------------------------------------------------ life

    def run(self) -> int:
        """Until asked to end; the exit code. ConfigError when starting again would not help."""
        try:
            parts = self._wire(self._started_with, self._patiently)
        except _Stopped:
            return 0
        parts.engine.wake = self._bell.ring
        metrics.mode_is(parts.policy.mode)
        metrics.target_is(self._started_with.get("DEFAULT", "target_recovery_s"))
        if parts.journal is not None:
            self._web.site.connect(parts.journal, parts.cloud)
        defect: HanodeError | None = None
        try:
            self._tick_until_stopped(parts)
        except HanodeError as error:  # the world's trouble never comes here: this is for people to mend
            defect = error
        finally:
            self._hand_over(parts)
        if defect is None:
            return 0
        # Not in the handler, here and below: oslo.log would write the exception once more at the end of the line.
        LOG.critical("hanode stands down: %s", defect)
        return WRONG_CONFIGURATION if isinstance(defect, ForeignJournal) else 1

    def _tick_until_stopped(self, parts: Parts) -> None:
        tell = self._systemd.ready
        while not self._stopping:
            if self._hung_up:
                self._hung_up = False
                parts = self._reloaded(parts)
                tell = self._systemd.ready
            began_s = time.monotonic()
            wait_s = parts.engine.tick()
            took_s = time.monotonic() - began_s
            metrics.ticked(took_s)
            self._show(parts)
            self._log_changes(parts.engine)
            self._tell(tell, parts.engine.summary)
            tell = self._systemd.alive
            self._bell.wait(min(wait_s, self._systemd.watchdog_s / 3) if self._systemd.watchdog_s else wait_s)
            # Answers come in swarms; one tick takes them all, and leaves the processor to those who answer.
            self._pause.wait(max(0.0, began_s + took_s + min(BREATH * took_s, LONGEST_BREATH_S) - time.monotonic()))

    def _show(self, parts: Parts) -> None:
        """To Prometheus, load balancers and people: how this process is."""
        engine = parts.engine
        is_busy = self._meter.is_busy(engine.status)
        if self._meter.show(engine.leads, engine.status, parts.lasted(engine.leads, is_busy)):
            self._log_strays(parts)
        metrics.is_ready(engine.ready)
        if not engine.leads:
            parts.notifier.forget()  # only the leader tells; another tells what is open anew
        if parts.check is not None:
            parts.check.tick(engine.leads, is_busy)
        self._web.site.pulse = Pulse("leader" if engine.leads else "standby", engine.ready, time.monotonic(), 2 * parts.policy.lease_ttl_s)

    def _log_changes(self, engine: Engine) -> None:
        """Whether we lead, and what keeps us from our work: said when it changes, seconds aside."""
        said = "leads" if engine.leads and not engine.trouble else re.sub(r"[\d.]+", "N", engine.trouble or engine.summary)
        if said == self._said:
            return
        self._said = said
        if engine.trouble:
            LOG.warning("in trouble, trying again: %s", engine.trouble)
        else:
            LOG.info("%s", engine.summary)

    def _log_strays(self, parts: Parts) -> None:
        """A power device of a host that Nova does not know protects nobody: mostly a typing error. Said once for each."""
        known = parts.engine.status.get("hosts", {})
        if all(host.get("verdict", Verdict.UNKNOWN) == Verdict.UNKNOWN for host in known.values()):
            return  # we do not lead, or Nova could not be read: nothing is known of anybody
        strays = parts.devices.hosts() - known.keys()
        for name in sorted(strays - self._strays):
            near = difflib.get_close_matches(name, sorted(known), n=1)
            remedy = f"did you mean {near[0]}?" if near else "write it as `hanode host list` shows it, or remove it"
            LOG.warning("%s: Nova has no compute host of this name, so its power device protects nobody; %s",
                        parts.devices.where(name), remedy)
        self._strays = strays

    def _hand_over(self, parts: Parts) -> None:
        self._tell(self._systemd.stopping, "hands over")
        self._web.site.pulse = Pulse("ending", ready=False)
        parts.engine.resign()  # first: another daemon may begin while our last acts end
        if not parts.executor.close(ACTS_END_S):
            LOG.warning("some acts did not end within %.0f s; the next leader learns what became of them by reading the world",
                        ACTS_END_S)
        parts.notifier.close(NEWS_END_S)
        if parts.check is not None:
            parts.check.close()
        LOG.info("has handed over and ends")

    def _reloaded(self, parts: Parts) -> Parts:
        """Take over what a new configuration changes; a wrong one changes nothing."""
        self._tell(self._systemd.reloading)
        wrong: ConfigError | None = None
        try:
            settings = build.load(self._started_with.files)
            devices = load_devices(settings)
            policy = build.reloaded_policy(settings, parts.policy, devices.hosts, devices.plans(), devices.stores.plans())
            door = Door.of(**build.door(settings))
            set_up_log(settings)
        except ConfigError as error:
            wrong = error
        if wrong is not None:
            LOG.error("reload: nothing was changed: %s", wrong)
            return parts
        parts.devices.reload(devices)
        parts.engine.reload(policy)
        self._web.door = door
        metrics.mode_is(policy.mode)
        metrics.target_is(settings.get("DEFAULT", "target_recovery_s"))
        for option in build.needs_restart(self._started_with, settings):
            LOG.warning("reload: %s has changed, which takes effect at the next start", option)
        LOG.info("reload: done; mode %s, %d hosts with a power device", policy.mode, len(devices.hosts))
        return replace(parts, policy=policy)

    def _patiently(self, what: str, call: Callable[[], T]) -> T:
        attempt = 0
        while not self._stopping:
            try:
                return call()
            except (Refused, Unreachable, Ambiguous) as error:
                trouble = error
            if isinstance(trouble, Refused):  # perhaps a rotation is under way: the secrets are read again at every attempt
                LOG.error("%s refuses us, trying again: %s", what, trouble)
            else:
                LOG.warning("%s does not answer, trying again: %s", what, trouble)
            self._tell(self._systemd.status, f"waits for {what}")
            self._web.site.pulse = Pulse(f"waits for {what}", ready=False)
            self._bell.wait(PATIENCE_S[min(attempt, len(PATIENCE_S) - 1)])
            attempt += 1
        raise _Stopped

    @staticmethod
    def _tell(tell: Callable[..., None], *texts: str) -> None:
        deaf: Unreachable | None = None
        try:
            tell(*texts)
        except Unreachable as error:
            deaf = error
        if deaf is not None:  # if it lasts, systemd ends us by its watchdog; watching hosts goes on until then
            LOG.warning("%s", deaf)


# --------------------------------------------------------------------------- composition


def main(files: Sequence[str]) -> int:
    settings = build.load(files)
    set_up_log(settings)
    LOG.info("hanode %s, %s of cluster %s, mode %s", hanode.__version__, settings.host_id, settings.cluster_id,
             settings.get("DEFAULT", "mode"))
    for warning in build.exposed(settings):
        LOG.warning("%s", warning)
    metrics.runs(hanode.__version__, settings.cluster_id, settings.host_id)
    with build.naming_files(settings):
        web = Web(Door.of(**build.door(settings)))
    daemon = Daemon(settings, wire, Systemd(), web)
    daemon.listen()
    try:
        web.open(settings.get("web", "address"), settings.get("web", "port"))
    except OSError as error:  # watching hosts matters more than being watched
        LOG.error("%s: no metrics and no status page: %s", settings.where("web", "port"), error)
    try:
        return daemon.run()
    finally:
        web.close()


def wire(settings: build.Settings, patiently: Patiently) -> Parts:
    """Everything connected. What is wrong in the files is said at once, what does not answer is waited for."""
    with build.naming_files(settings):
        return _connect_all(settings, patiently)


def _connect_all(settings: build.Settings, patiently: Patiently) -> Parts:
    devices = Devices(load_devices(settings))
    policy = build.policy(settings, devices.hosts(), devices.plans(), devices.store_plans())
    probe = make_probe(settings)
    programs = Programs(ProgramSettings(**build.programs(settings)))
    tellers = make_channels(settings)
    access = Access(**build.journal(settings))
    journal = MeasuredJournal(open_journal(settings.get("journal", "url"), settings.cluster_id, access))
    cloud = patiently("Keystone", lambda: open_cloud(settings))
    devices.reach(cloud.baremetal)
    ledger = Ledger(journal, cloud.identity(), settings.get("journal", "history"))
    patiently("the journal", ledger.load)
    clock, executor = SystemClock(), ThreadExecutor()
    node, ttl_s = settings.host_id, policy.lease_ttl_s
    leadership = open_leadership(settings.get("journal", "url"), settings.cluster_id, node, ttl_s, access)
    office = Office(ledger, leadership, clock, node=node, ttl_s=ttl_s, margin_s=ttl_s / 5)
    notifier = open_notifier(tellers, frozenset(settings.get("notifications", "events")), settings.get("notifications", "give_up_s"))
    narrator = Chorus(LogNarrator(), Herald(notifier, node))
    engine = tick.Engine(cloud, devices, probe, programs, ledger, office, clock, executor, policy, narrator, node)
    check = DailyCheck(settings.files, lambda: nova_version(settings), notifier) if settings.get("DEFAULT", "daily_check") else None
    return Parts(engine, executor, devices, policy, journal, cloud.identity(), notifier, check, Past(ledger.read_history).lasted)


def read_devices(settings: build.Settings) -> fencing.FencingConfig:
    file = settings.get("fencing", "config_file")
    return fencing.load(Path(file), Path(settings.get("fencing", "config_dir"))) if file else fencing.FencingConfig()


def load_devices(settings: build.Settings) -> fencing.FencingConfig:
    loaded = read_devices(settings)
    for warning in loaded.warnings:
        LOG.warning("%s", warning)
    return loaded


def make_probe(settings: build.Settings) -> Probe:
    heard = kdump(lambda option: settings.get("probe", option))
    ways = {name: _way_of(network) for name, network in build.networks(settings).items()}
    return Probes(ways, Listener(**heard) if heard else None, settings.get("priority", "ready_timeout_s"))


def _way_of(network: Network) -> ProbeSettings | CommandSettings:
    if network.argv:
        return CommandSettings(network.argv, network.timeout_s)
    return ProbeSettings(network.kind, network.port, network.banner, network.timeout_s, network.addresses, network.within)


def make_channels(settings: build.Settings) -> list[Channel]:
    return channels(Sender(settings.cluster_id, settings.host_id), **build.notifications(settings))


def open_cloud(settings: build.Settings) -> OpenStackCloud:
    """A new session for each attempt, with the secrets as their files have them now."""
    cloud = OpenStackCloud(Credentials(**build.keystone(settings)), settings.get("protection", "skip_image_tags"))
    cloud.connect()
    return cloud


def nova_version(settings: build.Settings) -> str:
    """The newest microversion, asked over a session of its own: a session remembers what it was told."""
    return ".".join(str(part) for part in open_cloud(settings).offered("compute")[1])


def set_up_log(settings: build.Settings) -> None:
    try:
        log.setup(settings.conf, "hanode", hanode.__version__)
    except (OSError, RuntimeError, log.LogConfigError) as error:
        raise ConfigError(f"{', '.join(settings.files)}: [DEFAULT] log_file, use_journal, use_syslog or log_config_append: {error}; "
                          "without any of them it is written to stdout, which systemd passes on to journald") from error
    keep_lines()


