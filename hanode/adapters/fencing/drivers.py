"""What may be said of a device of each driver, and is it right? One section of the file -> one frozen value.

A value that still holds {host} belongs to a template that is not yet anybody's: what depends on the host is looked at when
the template is used for one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit
from uuid import UUID

from hanode.adapters.fencing import metadata
from hanode.adapters.fencing.secret import Secret, require_private
from hanode.adapters.fencing.settings import (
    PROGRAM_TIMEOUT_S,
    TIMEOUT_S,
    AgentSettings,
    CommandSettings,
    IpmiSettings,
    IronicSettings,
    RedfishSettings,
    Settings,
)
from hanode.adapters.fencing.yaml_file import Section, did_you_mean
from hanode.errors import ConfigError

PLACE = "{host}"
LEAST_TIMEOUT_S, MOST_TIMEOUT_S = 3.0, 120.0
PRIVILEGES = ("OPERATOR", "ADMINISTRATOR")
CIPHERS = (17, 3)
AUTHS = ("basic", "session")

SECRET = frozenset({"password", "password_file", "password_env", "password_credential"})
COMMON = SECRET | {"driver", "timeout_s", "tries", "outlet"}
IPMI = COMMON | {"address", "username", "port", "cipher", "privilege", "uuid"}
REDFISH = COMMON | {"url", "system", "username", "ca_file", "verify", "auth", "uuid", "serial"}
AGENT = COMMON | {"agent", "options", "password_option"}
COMMAND = COMMON | {"command"}
IRONIC = frozenset({"driver", "timeout_s", "tries", "node", "uuid", "instance_uuid"})
MANUAL = frozenset({"driver", "instruction"})


def read_device(host: str, file: Path, path: str, content: object) -> Settings | str:
    """The settings of one device; of the driver `manual` the instruction for a person. Raises ConfigError."""
    driver = Section(file, path, content, known=IPMI | REDFISH | AGENT | COMMAND | IRONIC | MANUAL).text("driver")
    if driver == "manual":
        return Section(file, path, content, MANUAL).text("instruction")
    if driver not in DRIVERS:
        raise ConfigError(f"{file}: {path}.driver: unknown driver {driver!r}; {did_you_mean(driver, [*DRIVERS, 'manual'])}")
    known, read = DRIVERS[driver]
    return read(host, Section(file, path, content, known))


class _Common(TypedDict):
    timeout_s: float
    tries: int
    outlet: bool


def _common(section: Section, timeout_s: float) -> _Common:
    return {
        "timeout_s": section.number("timeout_s", timeout_s, LEAST_TIMEOUT_S, MOST_TIMEOUT_S),
        "tries": section.integer("tries", 1, 1, 9),
        "outlet": section.flag("outlet", False),
    }


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
        **_common(section, TIMEOUT_S),
    )


def _read_redfish(host: str, section: Section) -> Settings:
    auth = section.text("auth", "basic")
    if auth not in AUTHS:
        raise section.wrong("auth", f"is {auth!r}; must be basic (told with each request) or session (a token)")
    return RedfishSettings(
        host=host,
        url=_url(section),
        system=_system(section),
        username=section.text("username"),
        secret=_secret(section),
        ca_file=_ca_file(section),
        verify=section.flag("verify", True),
        session=auth == "session",
        uuid=_uuid(section),
        serial=section.text("serial", ""),
        **_common(section, TIMEOUT_S),
    )


def _read_ironic(host: str, section: Section) -> Settings:
    return IronicSettings(
        host=host,
        node=section.text("node"),
        uuid=_uuid(section),
        instance_uuid=_uuid(section, "instance_uuid"),
        **_common(section, PROGRAM_TIMEOUT_S),
    )


# --------------------------------------------------------------------------- programs

NO_POWER = frozenset({
    "fence_ack_manual", "fence_brocade", "fence_cisco_mds", "fence_compute", "fence_evacuate", "fence_heuristics_ping", "fence_ifmib",
    "fence_kdump", "fence_mpath", "fence_sanbox2", "fence_sbd", "fence_scsi",
})
"""Agents whose `off` says nothing of the host's power: they cut a disk or a network port, wait, or ask somebody."""

OURS = {
    "action": "hanode gives it itself",
    "method": "only onoff is safe, which is the default: a cycle may report success before the host is off",
    "verbose": "it would write the password into the log", "verbose_level": "it would write the password into the log",
    "debug": "it would write the password into a file", "debug_file": "it would write the password into a file",
    "quiet": "the reason of a failure would be lost", "version": "nothing would be fenced", "help": "nothing would be fenced",
}
SECRET_OPTION = re.compile(r"passw|secret|community|token|apikey")
OPTION_OF_A_PATH = ("_script", "_file")


def _read_agent(host: str, section: Section) -> Settings:
    name = section.text("agent")
    if not re.fullmatch(r"fence_[a-z0-9_]+", name):
        raise section.wrong("agent", f"{name!r} is no program of fence-agents, whose names begin with fence_; else use driver command")
    if name == "fence_ironic":
        raise section.wrong("agent", "fence_ironic believes Ironic's copy of the power state, which may be old: use driver ironic")
    if name in NO_POWER:
        raise section.wrong("agent", f"{name} does not switch the power of a host: its `off` proves nothing; use another device")
    program = metadata.find(name)
    if program is None:
        raise section.wrong("agent", f"{name} is not installed on this machine: install fence-agents, or correct the name")
    known = metadata.options_of(program)
    password_option = section.text("password_option", "password")
    if password_option not in known:
        raise section.wrong("password_option", f"{name} has no such option; {did_you_mean(password_option, known)}")
    secret = _secret(section) if _given(section) else None
    options = _options(section, name, known)
    given = {*options, "action", *({password_option} if secret else ())}
    missing = sorted(option.name for option in known.values() if option.required and option.name not in given)
    if missing:
        raise section.wrong("options", f"{name} needs {', '.join(missing)}; write it down")
    if name == "fence_redfish" and "systems_uri" not in options:
        raise section.wrong("options", "fence_redfish needs systems_uri: without it, it powers off the last system that the BMC lists")
    return AgentSettings(host, program, options, secret, password_option, **_common(section, PROGRAM_TIMEOUT_S))


def _options(section: Section, agent: str, known: Mapping[str, metadata.Option]) -> Mapping[str, str]:
    """By the names that the agent uses now, so that one outlet has one name."""
    given = Section(section.file, section.path_of("options"), dict(section.mapping("options")), known=())
    renamed = {option.former_name: option.name for option in known.values() if option.former_name}
    found: dict[str, str] = {}
    for key in given.keys:
        name = renamed.get(key.replace("-", "_"), key.replace("-", "_"))
        if name in OURS:
            raise given.wrong(key, f"must not be given: {OURS[name]}")
        if name not in known:
            raise given.wrong(key, f"{agent} has no such option; {did_you_mean(key, set(known) - set(OURS))}")
        if SECRET_OPTION.search(name) and not name.endswith(OPTION_OF_A_PATH):
            raise given.wrong(key, f"a secret does not stand here; use password_file and password_option: {name}")
        if name in found:
            raise given.wrong(key, f"is another word for {name}, which is given too; keep one of them")
        found[name] = given.plain(key)
    return found


def _read_command(host: str, section: Section) -> Settings:
    words = {str(number): word for number, word in enumerate(section.items("command"))}
    line = Section(section.file, section.path_of("command"), words, known=())
    argv = [line.plain(number) for number in words]
    if not any("{action}" in word for word in argv[1:]):
        raise section.wrong("command", "must hold {action} somewhere after the program: in its place stands off, on or status")
    require_program(section, Path(argv[0]))
    return CommandSettings(host, tuple(argv), _secret(section) if _given(section) else None, **_common(section, PROGRAM_TIMEOUT_S))


def require_program(section: Section, program: Path, key: str = "command") -> None:
    """One that is there, and that nobody else can change."""
    if not program.is_absolute():
        raise section.wrong(key, f"{program} must be the full path of the program")
    if not program.is_file() or not os.access(program, os.X_OK):
        raise section.wrong(key, f"{program} is no program that can be started: correct the path, or chmod +x {program}")
    if program.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise section.wrong(key, f"{program} can be changed by others, who could then say that a host is off: chmod go-w {program}")


DRIVERS: Mapping[str, tuple[Collection[str], Callable[[str, Section], Settings]]] = {
    "ipmi": (IPMI, _read_ipmi),
    "redfish": (REDFISH, _read_redfish),
    "agent": (AGENT, _read_agent),
    "command": (COMMAND, _read_command),
    "ironic": (IRONIC, _read_ironic),
}


# --------------------------------------------------------------------------- single keys


def _given(section: Section) -> list[str]:
    return [key for key in ("password_file", "password_env", "password_credential", "password") if section.has(key)]


def _secret(section: Section) -> Secret:
    """Where the password is; read once now, so that a wrong one is found at the start and not in the night it is needed."""
    given = _given(section)
    if len(given) != 1:
        raise section.wrong(given[1] if given else "password_file",
                            "exactly one of password_file, password_env, password_credential and password must be given")
    key = given[0]
    texts = section.texts(key)
    if key == "password":
        if len(texts) > 1:
            raise section.wrong(key, "may be a list only as password_file, password_env or password_credential")
        require_private(section.file, section.file.stat().st_mode, section.where(key))
    secret: Secret | None = None
    for text in reversed(texts):
        secret = Secret(
            where=section.where(key),
            file=Path(text) if key == "password_file" else None,
            env=text if key == "password_env" else "",
            credential=text if key == "password_credential" else "",
            value=text if key == "password" else "",
            other=secret,
        )
        if PLACE not in text:
            secret.read()
    assert secret is not None, "texts() is never empty"
    return secret


def _cipher(section: Section) -> int:
    cipher = section.integer("cipher", 17, 0, 255)
    if cipher == 0:
        raise section.wrong("cipher", "cipher 0 lets in anybody with any password (CVE-2013-4782); use 17 or 3")
    if cipher not in CIPHERS:
        raise section.wrong("cipher", f"is {cipher}; use 17, or 3 for a device that does not know 17")
    return cipher


def _uuid(section: Section, key: str = "uuid") -> str:
    text = section.text(key, "")
    try:
        return str(UUID(text)) if text else ""
    except ValueError as error:
        raise section.wrong(key, f"{text!r} is not a UUID; write it as the device shows it") from error


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
    if PLACE not in str(file) and not file.is_file():
        raise section.wrong("ca_file", f"{file} is not a file; write the certificate there in PEM form")
    return file
