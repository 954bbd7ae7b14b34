"""What runs out one day, and when? Everything by which hanode is let in or lets others in, as far as this machine can see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

from hanode.adapters.etcd_client import Address
from hanode.adapters.expiry import Expiry, of_file, of_server, side_by_side
from hanode.adapters.fencing.config import FencingConfig
from hanode.adapters.fencing.settings import RedfishSettings
from hanode.adapters.openstack import OpenStackCloud
from hanode.cli.checkup import Finding, Severity
from hanode.conf import build
from hanode.core.signals import few
from hanode.errors import HanodeError

TIMEOUT_S = 5.0
"""For a server to show its certificate."""

ERROR_DAYS, WARNING_DAYS = 7, 30
DAY_S = 86400.0

HELP = {
    "application_credential": "make another (openstack application credential create), put its id and secret in place, restart each daemon",
    "password": "set another (openstack user password set) and write it to [keystone] password_file of each daemon, then restart it",
    "etcd_client": "issue another for [journal] cert_file, on each controller; then restart each daemon",
    "etcd_server": "issue another for that member of etcd, and restart it",
    "web": "issue another for [web] cert_file; then systemctl reload hanode",
    "keystone_server": "issue another for Keystone's endpoint",
    "bmc_server": "issue another for that power device; without it it is not believed, and its host cannot be fenced",
}
"""By the kinds that there are; each is a label of hanode_credential_expires_seconds."""


def expiries(settings: build.Settings, cloud: OpenStackCloud | None, devices: FencingConfig, hosts: Iterable[str] = ()) -> list[Expiry]:
    """`hosts`: those that Nova shows, for which templates of fencing.yaml stand."""
    reads = [*_of_files(settings), *_of_etcd(settings), *_of_devices(devices, hosts)]
    if cloud is not None:
        reads += [cloud.read_expiry, *_of_https("keystone_server", cloud.keystone_url())]
    return sorted(side_by_side(reads), key=lambda found: (found.what, found.where))


def of_expiry(found: Iterable[Expiry], now: datetime) -> Iterator[Finding]:
    all_found = tuple(found)
    unknown = {one.what: one.unknown for one in all_found if one.unknown}
    for what, why in sorted(unknown.items()):
        where = few(sorted(one.where for one in all_found if one.unknown and one.what == what))
        said = f"when it runs out is not known: {what.replace('_', ' ')} {where}"
        yield Finding(Severity.INFO, said, why, "look at it by hand now and then")
    for one in all_found:
        if one.at is not None and left_days(one.at, now) < WARNING_DAYS:
            severity = Severity.ERROR if left_days(one.at, now) < ERROR_DAYS else Severity.WARNING
            ended = "has run out" if one.at <= now else "runs out soon"
            yield Finding(severity, f"{_named(one)} {ended}", f"it ends at {one.at:%Y-%m-%d %H:%M} UTC", HELP[one.what])


def left_days(at: datetime, now: datetime) -> float:
    return (at - now).total_seconds() / DAY_S


def _named(one: Expiry) -> str:
    return f"{one.what.replace('_', ' ')} {one.where}"


def _of_files(settings: build.Settings) -> Iterator[Callable[[], Expiry]]:
    for what, group in (("etcd_client", "journal"), ("web", "web")):
        file = settings.get(group, "cert_file")
        if file:
            yield partial(of_file, what, file)


def _of_etcd(settings: build.Settings) -> Iterator[Callable[[], Expiry]]:
    url = settings.get("journal", "url")
    if url.startswith("etcd3+https"):
        for endpoint in Address.parse(url).endpoints:
            yield from _of_https("etcd_server", f"https://{endpoint}")


def _of_devices(devices: FencingConfig, hosts: Iterable[str]) -> Iterator[Callable[[], Expiry]]:
    urls: set[str] = set()
    for host in sorted({*devices.hosts, *hosts}):
        with suppress(HanodeError):  # it has none, or its template does not fit: the check tells that by itself
            urls |= {one.url for one in devices.of(host).all if isinstance(one, RedfishSettings) and one.verify}
    for url in sorted(urls):
        yield from _of_https("bmc_server", url)


def _of_https(what: str, url: str) -> Iterator[Callable[[], Expiry]]:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        yield partial(of_server, what, parts.hostname, parts.port or 443, TIMEOUT_S)
