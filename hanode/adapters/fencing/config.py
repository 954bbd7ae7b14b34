"""Which host has which power device? Reads fencing.yaml and fencing.d/*.yaml into frozen settings, or says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from hanode.adapters.fencing.secret import Secret, require_private
from hanode.adapters.fencing.yaml_file import Section, did_you_mean, read_mapping
from hanode.errors import ConfigError

TIMEOUT_S = 10.0
LEAST_TIMEOUT_S, MOST_TIMEOUT_S = 3.0, 120.0
PRIVILEGES = ("OPERATOR", "ADMINISTRATOR")
CIPHERS = (17, 3)


@dataclass(frozen=True)
class IpmiSettings:
    host: str
    address: str
    username: str
    secret: Secret
    port: int = 623
    cipher: int = 17
    privilege: str = "OPERATOR"
    uuid: str = ""
    timeout_s: float = TIMEOUT_S

    @property
    def device(self) -> str:
        """The one device behind these settings: two hosts must not share it."""
        return f"ipmi {self.address.lower()} port {self.port}"


@dataclass(frozen=True)
class RedfishSettings:
    host: str
    url: str
    system: str
    username: str
    secret: Secret
    ca_file: Path | None = None
    verify: bool = True
    uuid: str = ""
    serial: str = ""
    timeout_s: float = TIMEOUT_S

    @property
    def device(self) -> str:
        """The one device behind these settings: two hosts must not share it."""
        return f"redfish {self.url}{self.system}"


Settings = IpmiSettings | RedfishSettings


@dataclass(frozen=True)
class FencingConfig:
    hosts: Mapping[str, Settings] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)  # host -> where it is described
    warnings: tuple[str, ...] = ()  # allowed, but the operator should hear of it at each start


def load(path: Path, directory: Path | None = None) -> FencingConfig:
    """Read the file and every *.yaml of the directory (which need not exist); raises ConfigError."""
    parts = sorted(directory.glob("[!.]*.yaml")) if directory else []
    strays = sorted(directory.glob("*.yml")) if directory else []
    hosts: dict[str, Settings] = {}
    files: dict[str, Path] = {}
    for file in (path, *parts):
        for settings in _read_hosts(file):
            if settings.host in files:
                raise ConfigError(
                    f"{file}: hosts.{settings.host}: is already described in {files[settings.host]}; remove one of the two")
            files[settings.host] = file
            hosts[settings.host] = settings
    _require_own_devices(hosts, files)
    ignored = (f"{stray}: is not read; rename it to end in .yaml" for stray in strays)
    return FencingConfig(hosts=hosts, files=files, warnings=(*ignored, *_warnings(hosts, files)))


def _read_hosts(file: Path) -> Iterator[Settings]:
    top = Section(file, "", read_mapping(file), known={"hosts"})
    for name, content in top.mapping("hosts").items():
        if not isinstance(name, str):
            raise top.wrong(f"hosts.{name}", "a host name must be text; put it in quotes")
        yield _read_host(file, name, content)


def _require_own_devices(hosts: Mapping[str, Settings], files: Mapping[str, Path]) -> None:
    """One device for two hosts would power off the wrong one of them."""
    owners: dict[str, str] = {}
    for name in sorted(hosts):
        owner = owners.setdefault(hosts[name].device, name)
        if owner != name:
            raise ConfigError(
                f"{files[name]}: hosts.{name}: has the same device as hosts.{owner} in {files[owner]} "
                f"({hosts[name].device}); correct the address of one of them")


PLAIN = "url: without TLS everybody on the way can read the password; use https"
UNVERIFIED = ("verify: is false: whoever takes the device's address gets the password and can claim that the host is off; "
              "use ca_file")
NAMED = 5


def _warnings(hosts: Mapping[str, Settings], files: Mapping[str, Path]) -> Iterator[str]:
    """One line for each kind of carelessness in a file: a line for each host would bury what matters at the start."""
    careless: dict[tuple[Path, str], list[str]] = {}
    for name, settings in sorted(hosts.items()):
        if isinstance(settings, RedfishSettings) and settings.url.startswith("http:"):
            careless.setdefault((files[name], PLAIN), []).append(name)
        elif isinstance(settings, RedfishSettings) and not settings.verify:
            careless.setdefault((files[name], UNVERIFIED), []).append(name)
    for (file, text), names in sorted(careless.items()):
        more = f" (and {len(names) - NAMED} more hosts)" if len(names) > NAMED else ""
        yield f"{file}: hosts.{', '.join(names[:NAMED])}{more}: {text}"


# --------------------------------------------------------------------------- one host


COMMON = frozenset({"driver", "username", "password", "password_file", "password_env", "uuid", "timeout_s"})
IPMI = COMMON | {"address", "port", "cipher", "privilege"}
REDFISH = COMMON | {"url", "system", "ca_file", "verify", "serial"}


def _read_host(file: Path, name: str, content: object) -> Settings:
    path = f"hosts.{name}"
    driver = Section(file, path, content, known=IPMI | REDFISH).text("driver")
    if driver not in DRIVERS:
        raise ConfigError(f"{file}: {path}.driver: unknown driver {driver!r}; {did_you_mean(driver, DRIVERS)}")
    known, read = DRIVERS[driver]
    return read(name, Section(file, path, content, known))


def _read_ipmi(host: str, section: Section) -> Settings:
    privilege = section.text("privilege", "OPERATOR")
    if privilege not in PRIVILEGES:
        raise section.wrong("privilege", f"is {privilege!r}; must be OPERATOR (enough to power off) or ADMINISTRATOR")
    return IpmiSettings(
        host=host,
        address=section.text("address"),
        port=section.integer("port", 623, 1, 65535),
        username=section.text("username"),
        secret=_secret(section),
        cipher=_cipher(section),
        privilege=privilege,
        uuid=_uuid(section),
        timeout_s=section.number("timeout_s", TIMEOUT_S, LEAST_TIMEOUT_S, MOST_TIMEOUT_S),
    )


def _read_redfish(host: str, section: Section) -> Settings:
    return RedfishSettings(
        host=host,
        url=_url(section),
        system=_system(section),
        username=section.text("username"),
        secret=_secret(section),
        ca_file=_ca_file(section),
        verify=section.flag("verify", True),
        uuid=_uuid(section),
        serial=section.text("serial", ""),
        timeout_s=section.number("timeout_s", TIMEOUT_S, LEAST_TIMEOUT_S, MOST_TIMEOUT_S),
    )


DRIVERS: Mapping[str, tuple[frozenset[str], Callable[[str, Section], Settings]]] = {
    "ipmi": (IPMI, _read_ipmi),
    "redfish": (REDFISH, _read_redfish),
}


def _secret(section: Section) -> Secret:
    """Where the password is; read once now, so that a wrong one is found at the start and not in the night it is needed."""
    given = [key for key in ("password_file", "password_env", "password") if section.has(key)]
    if len(given) != 1:
        raise section.wrong(given[1] if given else "password_file",
                            "exactly one of password_file, password_env and password must be given")
    key = given[0]
    text = section.text(key)
    secret = Secret(
        where=section.where(key),
        file=Path(text) if key == "password_file" else None,
        env=text if key == "password_env" else "",
        value=text if key == "password" else "",
    )
    if key == "password":
        require_private(section.file, section.file.stat().st_mode, secret.where)
    secret.read()
    return secret


def _cipher(section: Section) -> int:
    cipher = section.integer("cipher", 17, 0, 255)
    if cipher == 0:
        raise section.wrong("cipher", "cipher 0 lets in anybody with any password (CVE-2013-4782); use 17 or 3")
    if cipher not in CIPHERS:
        raise section.wrong("cipher", f"is {cipher}; use 17, or 3 for a device that does not know 17")
    return cipher


def _uuid(section: Section) -> str:
    text = section.text("uuid", "")
    try:
        return str(UUID(text)) if text else ""
    except ValueError as error:
        raise section.wrong("uuid", f"{text!r} is not a UUID; write it as the device shows it") from error


def _url(section: Section) -> str:
    text = section.text("url").rstrip("/")
    try:
        url = urlsplit(text)
        plain = url.scheme in {"https", "http"} and url.hostname and url.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        plain = False
    if not plain or url.path or url.query or url.fragment:
        raise section.wrong("url", "must be https://ADDRESS[:PORT] and no more; the path belongs into 'system'")
    if url.username or url.password:
        raise section.wrong("url", "must not hold a login; use username and password_file")
    return text.lower().removesuffix(":443" if url.scheme == "https" else ":80")


def _system(section: Section) -> str:
    text = section.text("system").rstrip("/")
    if not text.startswith("/") or ".." in text.split("/") or "?" in text or "#" in text:
        raise section.wrong("system", "must be the path of the host's ComputerSystem, as /redfish/v1/Systems/1")
    return text


def _ca_file(section: Section) -> Path | None:
    if not section.has("ca_file"):
        return None
    file = Path(section.text("ca_file"))
    if section.has("verify") and not section.flag("verify", True):
        raise section.wrong("ca_file", "has no effect with 'verify: false'; remove that line")
    if not file.is_file():
        raise section.wrong("ca_file", f"{file} is not a file; write the certificate there in PEM form")
    return file
