"""Which store cuts which hosts off from their disks? The section `storage` of fencing.yaml -> one frozen value for each domain.

A cut proves not that a host is off, but that it writes nothing there any more. The names are those of the storage domains.
"""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from hanode.adapters.fencing.drivers import LEAST_TIMEOUT_S, MOST_TIMEOUT_S, PLACE, require_program
from hanode.adapters.fencing.secret import require_private
from hanode.adapters.fencing.settings import PROGRAM_TIMEOUT_S, TIMEOUT_S
from hanode.adapters.fencing.yaml_file import Section, did_you_mean
from hanode.core.policy import StorePlan
from hanode.errors import ConfigError, Refused

COMMON = frozenset({"driver", "proof", "volumes", "expires_s", "timeout_s"})
BLOCKLIST = COMMON | {"addresses", "conf", "keyring", "user", "program"}
COMMAND = COMMON | {"cut", "restore", "status", "kind", "hosts"}
PROOFS = ("storage", "none")
SECONDS = "{seconds}"
LEAST_EXPIRY_S, EXPIRY_S, MOST_EXPIRY_S = 300.0, 3600.0, 30 * 86400.0


@dataclass(frozen=True)
class BlocklistSettings:
    """A Ceph cluster: who may ask its monitors, and by which addresses it knows its clients."""

    domain: str
    where: str  # file and key, for messages
    program: Path
    user: str
    conf: Path
    keyring: Path
    addresses: Mapping[str, Sequence[str]]  # host or pattern -> its addresses, or names of them with {host}
    proof: bool = False
    volumes: bool = False
    expires_s: float = EXPIRY_S
    timeout_s: float = TIMEOUT_S

    @property
    def plan(self) -> StorePlan:
        by_hand = f"`ceph osd blocklist rm ADDRESS` for each of its addresses in {self.where}.addresses"
        return StorePlan(self.proof, "rbd", tuple(self.addresses), self.volumes, self.expires_s, by_hand)

    def addresses_of(self, host: str) -> Sequence[str]:
        """As they are written for this host, its own name before a pattern; Refused when there are none."""
        key = host if host in self.addresses else next((key for key in self.addresses if fnmatchcase(host, key)), None)
        if key is None:
            raise Refused(f"{self.where}.addresses: names no address of {host}; write down by which ones Ceph knows it")
        return [text.replace(PLACE, host) for text in self.addresses[key]]


@dataclass(frozen=True)
class CommandStoreSettings:
    """Any other store, by three programs of the operator's; their words still hold {host} and {seconds}."""

    domain: str
    where: str
    cut: Sequence[str]
    restore: Sequence[str]
    status: Sequence[str]
    kind: str
    hosts: Sequence[str] = ("*",)
    proof: bool = False
    volumes: bool = False
    expires_s: float = 0.0  # 0: the store never forgets a cut by itself
    timeout_s: float = PROGRAM_TIMEOUT_S

    @property
    def plan(self) -> StorePlan:
        words = " ".join(self.restore).replace(SECONDS, "")
        return StorePlan(self.proof, self.kind, tuple(self.hosts), self.volumes, self.expires_s, f"`{words.strip()}`")


StoreSettings = BlocklistSettings | CommandStoreSettings


@dataclass(frozen=True)
class StoresConfig:
    stores: Mapping[str, StoreSettings] = field(default_factory=dict)  # by storage domain

    def of(self, domain: str) -> StoreSettings:
        if domain not in self.stores:
            raise Refused(f"fencing.yaml: storage: describes no store {domain!r}")
        return self.stores[domain]

    def plans(self) -> Mapping[str, StorePlan]:
        return {domain: settings.plan for domain, settings in sorted(self.stores.items())}


def read_stores(top: Section) -> Iterator[StoreSettings]:
    """Every store of one file; raises ConfigError."""
    for domain, content in top.mapping("storage").items():
        if not isinstance(domain, str):
            raise top.wrong(f"storage.{domain}", "a storage domain's name must be text; put it in quotes")
        path = f"storage.{domain}"
        driver = Section(top.file, path, content, known=BLOCKLIST | COMMAND).text("driver")
        if driver not in DRIVERS:
            raise ConfigError(f"{top.file}: {path}.driver: unknown driver {driver!r}; {did_you_mean(driver, DRIVERS)}")
        known, read = DRIVERS[driver]
        yield read(domain, Section(top.file, path, content, known))


def require_own_addresses(stores: Mapping[str, StoreSettings]) -> None:
    """One address for two hosts would cut a healthy one off from its disks."""
    for settings in stores.values():
        if not isinstance(settings, BlocklistSettings):
            continue
        owners: dict[str, str] = {}
        for host, texts in sorted(settings.addresses.items()):
            for text in texts:
                owner = owners.setdefault(text, host)
                if owner != host:
                    raise ConfigError(f"{settings.where}.addresses.{host}: has the same address as {owner} ({text}); correct one of them")


# --------------------------------------------------------------------------- one store


def _read_blocklist(domain: str, section: Section) -> StoreSettings:
    return BlocklistSettings(
        domain=domain,
        where=section.where(""),
        program=_ceph(section),
        user=_user(section),
        conf=_existing(section, "conf", "/etc/ceph/ceph.conf"),
        keyring=_keyring(section),
        addresses=_addresses(section),
        proof=_proof(section),
        volumes=section.flag("volumes", False),
        expires_s=section.number("expires_s", EXPIRY_S, LEAST_EXPIRY_S, MOST_EXPIRY_S),
        timeout_s=section.number("timeout_s", TIMEOUT_S, LEAST_TIMEOUT_S, MOST_TIMEOUT_S),
    )


def _read_command(domain: str, section: Section) -> StoreSettings:
    kind = section.text("kind")
    if kind not in {"rbd", "file"}:
        raise section.wrong("kind", f"is {kind!r}; must be rbd or file, as hanode:kind of the domain")
    lines = {key: _words(section, key) for key in ("cut", "restore", "status")}
    expires = any(SECONDS in word for word in lines["cut"])
    if section.has("expires_s") and not expires:
        raise section.wrong("expires_s", f"the program `cut` is not told it: write {SECONDS} among its words, or remove expires_s")
    return CommandStoreSettings(
        domain=domain,
        where=section.where(""),
        kind=kind,
        hosts=tuple(section.texts("hosts")) if section.has("hosts") else ("*",),
        proof=_proof(section),
        volumes=section.flag("volumes", False),
        expires_s=section.number("expires_s", EXPIRY_S, LEAST_EXPIRY_S, MOST_EXPIRY_S) if expires else 0.0,
        timeout_s=section.number("timeout_s", PROGRAM_TIMEOUT_S, LEAST_TIMEOUT_S, MOST_TIMEOUT_S),
        **lines,
    )


DRIVERS = {"blocklist": (BLOCKLIST, _read_blocklist), "command": (COMMAND, _read_command)}


# --------------------------------------------------------------------------- single keys


def _proof(section: Section) -> bool:
    word = section.text("proof", "none")
    if word not in PROOFS:
        raise section.wrong("proof", f"is {word!r}; must be storage (instances wholly there may be restarted by it) or none (only checked)")
    return word == "storage"


def _words(section: Section, key: str) -> Sequence[str]:
    words = {str(number): word for number, word in enumerate(section.items(key))}
    line = Section(section.file, section.path_of(key), words, known=())
    argv = tuple(line.plain(number) for number in words)
    if not any(PLACE in word for word in argv[1:]):
        raise section.wrong(key, "must hold {host} somewhere after the program")
    require_program(section, Path(argv[0]), key)
    return argv


def _ceph(section: Section) -> Path:
    found = section.text("program", shutil.which("ceph") or "/usr/bin/ceph")
    require_program(section, Path(found), "program")
    return Path(found)


def _user(section: Section) -> str:
    user = section.text("user", "hanode")
    if user.startswith("client."):
        raise section.wrong("user", f"is written without the prefix: {user.removeprefix('client.')}")
    return user


def _existing(section: Section, key: str, default: str | None = None) -> Path:
    file = Path(section.text(key, default))
    if not file.is_file():
        raise section.wrong(key, f"{file} is not a file; copy it from the Ceph cluster, or correct the path")
    return file


def _keyring(section: Section) -> Path:
    file = _existing(section, "keyring")
    require_private(file, file.stat().st_mode, section.where("keyring"))
    return file


def _addresses(section: Section) -> Mapping[str, Sequence[str]]:
    told = section.mapping("addresses")
    if not told:
        raise section.wrong("addresses", "is missing or empty; write down by which addresses Ceph knows each host")
    inner = Section(section.file, section.path_of("addresses"), told, known=())
    return {host: [_address(inner, host, text) for text in inner.texts(host)] for host in inner.keys}


def _address(section: Section, host: str, text: str) -> str:
    """An address of one host, or a name that tells the host's own."""
    is_pattern = "*" in host or "?" in host
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        if "/" in text or ":" in text:
            raise section.wrong(host, f"{text!r} is no address of one host; a range would cut its neighbours off as well") from None
        if is_pattern and PLACE not in text:
            raise section.wrong(host, f"all its hosts would have the same address ({text}); write {{host}} where they differ") from None
        return text
    if is_pattern:
        raise section.wrong(host, f"all its hosts would have the same address ({text}); name each host, or a name with {{host}}")
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        raise section.wrong(host, f"{text} is no address by which Ceph could know a host")
    return str(address)
