"""What can be read of a cloud before hanode is let loose on it? Everything is asked; what cannot be read is a finding itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from hanode.adapters import etcd_health
from hanode.adapters.etcd_client import Access
from hanode.adapters.expiry import Expiry
from hanode.adapters.fencing.config import FencingConfig
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.openstack import PINNED, OpenStackCloud
from hanode.cli import checkup, expiry
from hanode.cli.checkup import Finding, Severity
from hanode.conf import build
from hanode.core.facts import Fleet
from hanode.core.signals import few
from hanode.daemon import open_cloud, read_devices
from hanode.errors import ConfigError, HanodeError

T = TypeVar("T")

PLACEMENT_SAMPLE = 20
"""So many hosts are looked up in Placement; two calls for each."""


class Survey:
    """Collects findings. `try_` turns a failed read into one, and whatever rests on it is left out."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def try_(self, what: str, remedy: str, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except ConfigError as error:
            self.findings += [Finding(Severity.ERROR, "configuration", str(sentence), "correct it in the file") for sentence in error.args]
        except HanodeError as error:
            self.findings.append(Finding(Severity.ERROR, what, str(error), remedy))
        return None

    def add(self, found: Iterator[Finding]) -> None:
        self.findings += found


def findings(files: Sequence[str]) -> list[Finding]:
    """Errors first; within a severity in the order of looking."""
    survey = Survey()
    settings = survey.try_("configuration", "", lambda: build.load(files))
    if settings is not None:
        _look(survey, settings)
    return sorted(survey.findings, key=lambda finding: list(Severity).index(finding.severity))


def _look(survey: Survey, settings: build.Settings) -> None:
    for warning in build.exposed(settings):
        survey.findings.append(Finding(Severity.WARNING, "a secret can be read by everybody", warning, "chmod it as said"))
    devices = survey.try_("configuration", "", lambda: read_devices(settings)) or FencingConfig()
    for warning in devices.warnings:
        survey.findings.append(Finding(Severity.WARNING, "fencing.yaml", warning, "change it there"))
    fencer, plans, stores = Devices(devices), devices.plans(), devices.stores.plans()
    policy = survey.try_("configuration", "", lambda: build.policy(settings, fencer.hosts(), plans, stores))
    survey.add(checkup.of_stores({domain: fencer.stores.check(domain, "") for domain in stores}))
    _look_at_journal(survey, settings)
    fleet = None
    cloud = survey.try_("Keystone", "see [keystone]; nothing else of the cloud was looked at", lambda: _connected(settings))
    if cloud is not None:
        fleet = _look_at_cloud(survey, cloud)
        if fleet is not None and policy is not None:
            survey.add(checkup.of_hosts(fleet, policy))
            services = survey.try_("the catalogue", "look at Keystone", cloud.catalogue)
            survey.add(checkup.of_neighbours(services or (), policy, fleet))
        if policy is not None and policy.stopped_first:
            offered = survey.try_("versions of compute", "look at its endpoint: openstack versions show", partial(cloud.offered, "compute"))
            if offered is not None:
                survey.add(checkup.of_stopped_first(offered[1]))
    known = fleet.hosts if fleet is not None else ()
    survey.add(expiry.of_expiry(expiry.expiries(settings, cloud, devices, known), datetime.now(UTC)))
    if policy is not None:
        survey.add(checkup.of_rest(policy))


def expiries(files: Sequence[str]) -> list[Expiry]:
    """Everything that runs out, whatever of it can be read. ConfigError when the files cannot be."""
    settings = build.load(files)
    cloud, known = None, Fleet({}, ())
    with suppress(HanodeError):  # `config check` says why
        cloud = _connected(settings)
        known = cloud.read_fleet()
    return expiry.expiries(settings, cloud, read_devices(settings), known.hosts)


def _connected(settings: build.Settings) -> OpenStackCloud:
    with build.naming_files(settings):
        return open_cloud(settings)


def _look_at_cloud(survey: Survey, cloud: OpenStackCloud) -> Fleet | None:
    catalogue = survey.try_("the catalogue", "look at Keystone", cloud.catalogue)
    if catalogue is not None:
        survey.add(checkup.of_catalogue(catalogue))
        survey.add(checkup.of_roles(cloud.roles()))
    for service, pinned in PINNED.items():
        offered = survey.try_(f"versions of {service}", "look at its endpoint: openstack versions show", partial(cloud.offered, service))
        if offered is not None:
            survey.add(checkup.of_versions(service, *offered, pinned))
    skew_s = survey.try_("Nova's clock", "see above", lambda: _skew_s(cloud))
    if skew_s is not None:
        survey.add(checkup.of_clock(skew_s))
    fleet = survey.try_("Nova's compute services", "the user of [keystone] needs the admin role", cloud.read_fleet)
    if fleet is not None:
        survey.try_("Nova's evacuation records", "the user of [keystone] needs the admin role", cloud.read_evacuations)
        survey.try_("images with [protection] skip_image_tags", "look at Glance", cloud.read_skip_images)
        _look_at_placement(survey, cloud, fleet)
    return fleet


def _look_at_placement(survey: Survey, cloud: OpenStackCloud, fleet: Fleet) -> None:
    known = {name: host.hypervisor.provider_id for name, host in sorted(fleet.hosts.items()) if host.hypervisor}
    sample = dict(list(known.items())[:PLACEMENT_SAMPLE])
    room = survey.try_("Placement", "the user of [keystone] needs the admin role there too", lambda: cloud.read_room(sample))
    if room is not None and (missing := sorted(sample.keys() - room.keys())):
        survey.findings.append(Finding(
            Severity.WARNING, f"Placement tells nothing of {few(missing)}", "such a host is never a target",
            "nova-manage placement audit; is nova-compute there running?"))


def _look_at_journal(survey: Survey, settings: build.Settings) -> None:
    url = settings.get("journal", "url")
    if not url.startswith("etcd3+"):
        survey.findings.append(Finding(
            Severity.INFO, "the journal is on this machine alone", f"{url}: one daemon only; when its machine fails, nobody is protected",
            "several controllers: [journal] url = etcd3+http://HOST:2379,HOST:2379,HOST:2379"))
        return
    remedy = "look at etcd: etcdctl endpoint status --cluster"
    access = survey.try_("journal", remedy, lambda: Access(**build.journal(settings)))
    members = survey.try_("journal", remedy, lambda: etcd_health.read_health(url, access)) if access else None
    if access is not None and members:
        listed = None
        with suppress(HanodeError):  # the members' own trouble is told already
            listed = etcd_health.count_members(url, access)
        survey.add(checkup.of_etcd(members, listed, settings.get("journal", "timeout_s")))


def _skew_s(cloud: OpenStackCloud) -> float:
    began = datetime.now(UTC)
    theirs = cloud.read_clock()
    return (theirs - (began + (datetime.now(UTC) - began) / 2)).total_seconds()
