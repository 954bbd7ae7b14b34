"""Which host has which power devices? Reads fencing.yaml and fencing.d/*.yaml into frozen settings, or says what is wrong.

A host is described by name, or by a template for many: its hosts are a list of names, or patterns such as compute-*, and
{host} in any of its values is the host's name. A host's own description wins over a pattern, and the first pattern wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from hanode.adapters.fencing.drivers import PLACE, read_device
from hanode.adapters.fencing.settings import AgentSettings, HostDevices, IronicSettings, RedfishSettings, Settings
from hanode.adapters.fencing.stores import StoresConfig, StoreSettings, read_stores, require_own_addresses
from hanode.adapters.fencing.yaml_file import Section, read_mapping
from hanode.core.policy import FenceLevel, FencePlan
from hanode.errors import ConfigError, Refused

MOST_LEVELS = 9
HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Template:
    """How the devices of the hosts of a pattern are described; `content` still holds {host}."""

    name: str
    file: Path
    content: object
    sample: HostDevices  # as read with {host} in place: for what does not depend on the host

    def devices(self, host: str) -> HostDevices:
        return _read_levels(host, self.file, f"templates.{self.name}", filled(self.content, host), self.name)


@dataclass(frozen=True)
class FencingConfig:
    hosts: Mapping[str, HostDevices] = field(default_factory=dict)
    patterns: Mapping[str, Template] = field(default_factory=dict)  # in the order in which they are tried
    files: Mapping[str, Path] = field(default_factory=dict)  # host or pattern -> where it is described
    warnings: tuple[str, ...] = ()  # allowed, but the operator should hear of it at each start
    stores: StoresConfig = field(default_factory=StoresConfig)

    def of(self, host: str) -> HostDevices:
        """The devices of a host; Refused when it has none, ConfigError when its template does not fit it."""
        if host in self.hosts:
            return self.hosts[host]
        template = next((found for pattern, found in self.patterns.items() if fnmatchcase(host, pattern)), None)
        if template is None:
            raise Refused(f"host {host} has no power device; describe it in fencing.yaml")
        if not HOST_NAME.fullmatch(host):
            raise Refused(f"host {host!r} is no name that can be filled into template {template.name}; describe it by itself")
        devices = template.devices(host)
        # A template that meets a host described by itself would power off that one.
        owners = {settings.device: name for name, described in self.hosts.items() for settings in described.all}
        for settings in devices.all:
            if settings.device in owners:
                owner = owners[settings.device]
                raise Refused(f"template {template.name} gives host {host} the device of host {owner} ({settings.device}); correct one")
        return devices

    def plans(self) -> Mapping[str, FencePlan]:
        """What the core must know of them: names first, then patterns in their order."""
        samples = {pattern: template.sample for pattern, template in self.patterns.items()}
        return {name: plan_of(devices) for name, devices in {**self.hosts, **samples}.items()}


def plan_of(devices: HostDevices) -> FencePlan:
    """A level counts as outlets only when all of it is: one device that sees the machine itself may contradict."""
    levels = tuple(
        FenceLevel(
            max(settings.tries for settings in level),
            all(settings.outlet for settings in level),
            any(isinstance(settings, IronicSettings) for settings in level),
        )
        for level in devices.levels
    )
    return FencePlan(levels, devices.by_hand)


def load(path: Path, directory: Path | None = None) -> FencingConfig:
    """Read the file and every *.yaml of the directory (which need not exist); raises ConfigError."""
    parts = sorted(directory.glob("[!.]*.yaml")) if directory else []
    strays = sorted(directory.glob("*.yml")) if directory else []
    hosts: dict[str, HostDevices] = {}
    patterns: dict[str, Template] = {}
    files: dict[str, Path] = {}
    stores: dict[str, StoreSettings] = {}
    for file in (path, *parts):
        top = _top(file)
        for store in read_stores(top):
            if store.domain in stores:
                raise ConfigError(f"{store.where}: is already described as {stores[store.domain].where}; remove one of the two")
            stores[store.domain] = store
        for name, found in _read_file(top):
            if name in files:
                raise ConfigError(f"{file}: hosts.{name}: is already described in {files[name]}; remove one of the two")
            files[name] = file
            if isinstance(found, Template):
                patterns[name] = found
            else:
                hosts[name] = found
    _require_own_devices(hosts, files)
    require_own_addresses(stores)
    ignored = (f"{stray}: is not read; rename it to end in .yaml" for stray in strays)
    samples = {pattern: template.sample for pattern, template in patterns.items()}
    warnings = (*ignored, *_warnings({**hosts, **samples}, files))
    return FencingConfig(hosts, patterns, files, warnings, StoresConfig(stores))


def _top(file: Path) -> Section:
    return Section(file, "", read_mapping(file), known={"hosts", "templates", "storage"})


def _read_file(top: Section) -> Iterator[tuple[str, HostDevices | Template]]:
    file = top.file
    for name, content in top.mapping("hosts").items():
        if not isinstance(name, str):
            raise top.wrong(f"hosts.{name}", "a host name must be text; put it in quotes")
        yield name, _read_levels(name, file, f"hosts.{name}", filled(content, name))
    for name, content in top.mapping("templates").items():
        if not isinstance(name, str):
            raise top.wrong(f"templates.{name}", "a template's name must be text; put it in quotes")
        yield from _read_template(name, Section(file, f"templates.{name}", content, known=()))


def _read_template(name: str, section: Section) -> Iterator[tuple[str, HostDevices | Template]]:
    content = {key: section.raw(key) for key in section.keys if key != "hosts"}
    path = section.path_of("")
    sample = _read_levels(PLACE, section.file, path, content, name)
    for settings in sample.all:
        if PLACE not in settings.device:
            raise section.wrong("", f"all its hosts would have the same device ({settings.device}); write {{host}} where they differ")
    template = Template(name, section.file, content, sample)
    for host in section.texts("hosts"):
        is_pattern = "*" in host or "?" in host
        if not is_pattern and not HOST_NAME.fullmatch(host):
            raise section.wrong("hosts", f"{host!r} is neither the name of a host nor a pattern with * or ?")
        yield host, template if is_pattern else template.devices(host)


def filled(content: object, host: str) -> object:
    """The content with the host's name in the place of each {host}."""
    if isinstance(content, str):
        return content.replace(PLACE, host)
    if isinstance(content, list):
        return [filled(item, host) for item in content]
    if isinstance(content, dict):
        return {key: filled(value, host) for key, value in content.items()}
    return content


# --------------------------------------------------------------------------- the levels of one host


def _read_levels(host: str, file: Path, path: str, content: object, template: str = "") -> HostDevices:
    if not (isinstance(content, dict) and "levels" in content):
        only = read_device(host, file, path, content)
        return HostDevices((), only, template) if isinstance(only, str) else HostDevices(((only,),), "", template)
    section = Section(file, path, content, known={"levels"})
    levels: list[tuple[Settings, ...]] = []
    by_hand = ""
    for number, item in enumerate(section.items("levels"), 1):
        where = section.path_of(f"levels.{number}")
        if by_hand:
            raise section.wrong(f"levels.{number}", "comes after driver manual, which must be the last level: a person ends the levels")
        if number > MOST_LEVELS:
            raise section.wrong("levels", f"are more than {MOST_LEVELS}")
        found = _read_level(host, file, where, item)
        if isinstance(found, str):
            by_hand = found
        else:
            levels.append(found)
    return HostDevices(tuple(levels), by_hand, template)


def _read_level(host: str, file: Path, where: str, item: object) -> tuple[Settings, ...] | str:
    """One device, or a list of devices that must all confirm."""
    if not isinstance(item, list):
        found = read_device(host, file, where, item)
        return found if isinstance(found, str) else (found,)
    devices: list[Settings] = []
    for number, content in enumerate(item, 1):
        found = read_device(host, file, f"{where}.{number}", content)
        if isinstance(found, str):
            raise ConfigError(f"{file}: {where}.{number}.driver: manual is a level by itself; write it as the last level")
        if found.device in {other.device for other in devices}:
            raise ConfigError(f"{file}: {where}.{number}: is the same device as another one of this level ({found.device}); remove it")
        devices.append(found)
    if not devices:
        raise ConfigError(f"{file}: {where}: has no device; describe one, or remove the level")
    return tuple(devices)


def _require_own_devices(hosts: Mapping[str, HostDevices], files: Mapping[str, Path]) -> None:
    """One device for two hosts would power off the wrong one of them."""
    owners: dict[str, str] = {}
    for name in sorted(hosts):
        for settings in hosts[name].all:
            owner = owners.setdefault(settings.device, name)
            if owner != name:
                raise ConfigError(
                    f"{files[name]}: hosts.{name}: has the same device as hosts.{owner} in {files[owner]} "
                    f"({settings.device}); correct the address of one of them")


# --------------------------------------------------------------------------- what is allowed and careless

PLAIN = "url: without TLS everybody on the way can read the password; use https"
UNVERIFIED = ("verify: is false: whoever takes the device's address gets the password and can claim that the host is off; "
              "use ca_file")
SHOWN = "agent: hands the password to ipmitool in its arguments, which every user of this machine can read; use driver ipmi"
SHOWING = frozenset({"fence_idrac", "fence_ilo3", "fence_ilo4", "fence_ilo5", "fence_imm", "fence_ipmilan", "fence_ipmilanplus"})
NAMED = 5


def _careless(settings: Settings) -> Iterator[str]:
    if isinstance(settings, RedfishSettings) and settings.url.startswith("http:"):
        yield PLAIN
    elif isinstance(settings, RedfishSettings) and not settings.verify:
        yield UNVERIFIED
    elif isinstance(settings, AgentSettings) and settings.agent.name in SHOWING and settings.secret:
        yield SHOWN


def _warnings(hosts: Mapping[str, HostDevices], files: Mapping[str, Path]) -> Iterator[str]:
    """One line for each kind of carelessness in a file: a line for each host would bury what matters at the start."""
    careless: dict[tuple[Path, str], list[str]] = {}
    for name, devices in sorted(hosts.items()):
        for text in sorted({text for settings in devices.all for text in _careless(settings)}):
            careless.setdefault((files[name], text), []).append(name)
    for (file, text), names in sorted(careless.items()):
        more = f" (and {len(names) - NAMED} more hosts)" if len(names) > NAMED else ""
        yield f"{file}: hosts.{', '.join(names[:NAMED])}{more}: {text}"
