"""What did the operator write, is it right, and what Policy does it make?

Every mistake is a ConfigError that names the file, the option and the remedy; nothing in a file is ever ignored.
The environment is not read: a stray OS_ variable must not decide which cloud is armed.
"""

from __future__ import annotations

import difflib
import re
import shlex
import socket
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from oslo_config import cfg
from oslo_log import log

from hanode.conf import exposure, probing, ready
from hanode.conf.fields import DERIVED, FIELDS
from hanode.conf.options import list_opts
from hanode.core.policy import FencePlan, Policy, StorageDomain, StorePlan, problems
from hanode.errors import ConfigError

DEFAULT_FILE = "/etc/hanode/hanode.conf"
Plans = Mapping[str, FencePlan]
Stores = Mapping[str, StorePlan]
NO_PLANS: Plans = MappingProxyType({})
NO_STORES: Stores = MappingProxyType({})
LOG_LINE = "%(asctime)s %(levelname)-7s %(message)s"
QUIET = ["openstack=WARN", "keystoneauth.identity=WARN", "tooz=WARN", "etcd3gw=WARN", "cliff=WARN",
         "oslo.messaging=CRITICAL", "oslo_messaging=CRITICAL"]  # what could not be told is said by hanode, once


@dataclass(frozen=True)
class Settings:
    """A configuration that was read completely; every value has been checked against its option."""

    conf: Any  # cfg.ConfigOpts, our own instance: oslo.config ships no types
    files: tuple[str, ...]

    def get(self, group: str, option: str) -> Any:
        return self.conf[option] if group == "DEFAULT" else self.conf[group][option]

    def where(self, group: str, option: str) -> str:
        """The option as a person finds it: file, group, key."""
        return f"{', '.join(self.files)}: [{group}] {option}"

    @property
    def host_id(self) -> str:
        return str(self.get("DEFAULT", "host_id") or socket.gethostname())

    @property
    def cluster_id(self) -> str:
        return str(self.get("DEFAULT", "cluster_id"))


def load(files: Sequence[str] = (DEFAULT_FILE,)) -> Settings:
    """Read the files, later ones winning; raises ConfigError with everything that is wrong."""
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    for group, options in list_opts():
        conf.register_opts(options, group=None if group.name == "DEFAULT" else group)
    conf.set_default("logging_default_format_string", LOG_LINE)
    conf.set_default("logging_context_format_string", LOG_LINE)
    conf.set_default("logging_exception_prefix", "%(asctime)s ERROR   ")
    conf.set_default("default_log_levels", [*log.get_default_log_levels(), *QUIET])

    wrong = [problem for file in files for problem in _unknown(file, _parse(file), conf)]
    try:
        conf(args=[], project="hanode", default_config_files=list(files), default_config_dirs=[], use_env=False)
    except cfg.Error as error:
        raise ConfigError(f"{', '.join(files)}: {error}") from error
    settings = Settings(conf, tuple(files))
    _raise(wrong or [*_wrong_values(settings), *_contradictions(settings)])
    return settings


AT_START = ("networks", "kdump", "health_checked", "restart_agent")
"""Fields of Policy made of programs and probes, which are connected once."""


def policy(settings: Settings, fenceable: Collection[str] = (), fence_plans: Plans = NO_PLANS, stores: Stores = NO_STORES) -> Policy:
    """The operator's decisions as the core reads them, with those of fencing.yaml; raises ConfigError when they do not fit together."""
    made = Policy(
        **{field: _plain(field, settings.get(*FIELDS[field])) for field in FIELDS if settings.get(*FIELDS[field]) is not None},
        **{field: times * settings.get("detection", "report_interval_s")
           for field, times in DERIVED.items() if settings.get(*FIELDS[field]) is None},
        domains=_domains(settings),
        networks=tuple(networks(settings)),
        kdump=bool(settings.get("probe", "kdump_port")),
        health_checked=frozenset(settings.get("storage", "health")),
        restart_agent=bool(settings.get("detection", "restart_agent")),
        fenceable=frozenset(fenceable),
        fence_plans=fence_plans,
        stores=stores,
    )
    check(settings, made)
    return made


def reloaded_policy(
    settings: Settings, running: Policy, fenceable: Collection[str], fence_plans: Plans = NO_PLANS, stores: Stores = NO_STORES
) -> Policy:
    """The new policy as far as a running daemon can take it over: the office's own timings stay as they are."""
    kept = [field for field, (group, option) in FIELDS.items() if not _option(group, option).mutable]
    made = replace(policy(settings, fenceable, fence_plans, stores), **{field: getattr(running, field) for field in [*kept, *AT_START]})
    check(settings, made)
    return made


def needs_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """The options that changed and that a running daemon cannot change."""
    return tuple(
        f"[{group.name}] {option.dest}"
        for group, options in list_opts()
        for option in options
        if not option.mutable and old.get(group.name, option.dest) != new.get(group.name, option.dest)
    )


def secret(settings: Settings, group: str, file_option: str, inline_option: str = "") -> str | None:
    """A secret from its file, or written inline; None when neither is set. Never log what this returns."""
    inline = settings.get(group, inline_option) if inline_option else None
    path = settings.get(group, file_option)
    if inline is not None and path is not None:
        raise ConfigError(f"{settings.where(group, inline_option)} and {file_option} are both set: keep one of them")
    if path is None:
        return inline
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{settings.where(group, file_option)}: cannot read {path}: {_why(error)}; "
                          "make it readable for the user that hanode runs as") from error


SECRET_FILES = (("keystone", "password_file"), ("keystone", "application_credential_secret_file"),
                ("journal", "password_file"), ("journal", "key_file"), ("web", "password_file"), ("web", "key_file"),
                ("notifications", "webhook_url_file"), ("notifications", "webhook_secret_file"),
                ("notifications", "messaging_url_file"))


def exposed(settings: Settings) -> tuple[str, ...]:
    """Every secret that anybody on this machine can read, with file, key and remedy."""
    places = [(settings.where(*option), settings.get(*option)) for option in SECRET_FILES if settings.get(*option)]
    inline = (("keystone", "password"), ("notifications", "webhook_url"), ("notifications", "messaging_url"))
    places += [(f"{file}: [{group}] {option}", file) for file in settings.files for group, option in inline
               if option in _parse(file).get(group, {})]
    return tuple(f"{where}: everybody on this machine can read {path}: chmod 640 {path}" for where, path in places if _is_open(path))


def _is_open(path: str) -> bool:
    try:
        return bool(Path(path).stat().st_mode & stat.S_IROTH)
    except OSError:
        return False  # whoever reads the secret says what is wrong with the file


@contextmanager
def naming_files(settings: Settings) -> Iterator[None]:
    """Adapters know which option is wrong, but not in which file it stands."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        raise ConfigError(f"{', '.join(settings.files)}: {text}" if text.startswith("[") else text) from error


def networks(settings: Settings) -> Mapping[str, probing.Network]:
    """Over which networks a host is asked whether it lives, by name."""
    return probing.networks(partial(settings.get, "probe"))


def programs(settings: Settings) -> dict[str, Any]:
    """The arguments of `adapters.programs.ProgramSettings`; raises ConfigError for a command that no shell could read."""
    def words(group: str, option: str, text: str) -> Sequence[str]:
        try:
            return shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"{settings.where(group, option)}: {error}: quote it as for a shell") from error

    health = settings.get("storage", "health")
    return {
        "storage_health": {domain: words("storage", "health", text) for domain, text in sorted(health.items())},
        "storage_timeout_s": settings.get("storage", "health_timeout_s"),
        "ready": {rule: words("priority", "ready", text) for rule, text in ready.programs(partial(settings.get, "priority")).items()},
        "ready_timeout_s": settings.get("priority", "ready_timeout_s"),
        "restart_agent": words("detection", "restart_agent", settings.get("detection", "restart_agent") or ""),
        "restart_timeout_s": settings.get("detection", "restart_agent_timeout_s"),
    }


def keystone(settings: Settings) -> dict[str, Any]:
    """The arguments of `adapters.keystone.Credentials`; secrets are read from their files now."""
    def value(option: str) -> Any:
        return settings.get("keystone", option) or ""

    if value("cloud"):
        return {"cloud": value("cloud"), "clouds_file": value("clouds_file"), "region": value("region_name"),
                "timeout_s": value("timeout_s")}
    if not value("auth_url"):
        raise ConfigError(f"{settings.where('keystone', 'auth_url')} is not set: give the identity endpoint, or `cloud`")
    if bool(value("username")) == bool(value("application_credential_id")):
        raise ConfigError(f"{settings.where('keystone', 'username')}: set either username or application_credential_id")
    secret_options = ("password_file", "password") if value("username") else ("application_credential_secret_file",)
    found = secret(settings, "keystone", *secret_options)
    if not found:
        raise ConfigError(f"{settings.where('keystone', secret_options[0])} is not set or empty: without it nobody can log in")
    return {
        "auth_url": value("auth_url"), "username": value("username"), "password": found if value("username") else "",
        "application_credential_id": value("application_credential_id"),
        "application_credential_secret": "" if value("username") else found,
        "project": value("project_name"), "user_domain": value("user_domain_name"),
        "project_domain": value("project_domain_name"), "region": value("region_name"), "interface": value("interface"),
        "cacert": value("cafile"), "timeout_s": value("timeout_s"),
    }


def journal(settings: Settings) -> dict[str, Any]:
    """The arguments of `adapters.etcd_client.Access`."""
    def value(option: str) -> Any:
        return settings.get("journal", option) or ""

    return {
        "timeout_s": value("timeout_s"),
        "ca_file": value("ca_file"), "cert_file": value("cert_file"), "key_file": value("key_file"),
        "user": value("username"), "password": secret(settings, "journal", "password_file") or "",
    }


def door(settings: Settings) -> dict[str, str]:
    """The arguments of `web.door.Door.of`."""
    return {option: settings.get("web", option) or "" for option in ("cert_file", "key_file", "client_ca_file", "password_file")}


def notifications(settings: Settings) -> dict[str, Any]:
    """The arguments of `adapters.notify.channels`; secrets are read from their files now."""
    def value(option: str) -> Any:
        return settings.get("notifications", option)

    try:
        arguments = shlex.split(value("command") or "")
    except ValueError as error:
        raise ConfigError(f"{settings.where('notifications', 'command')}: {error}: quote it as for a shell") from error
    return {
        "url": secret(settings, "notifications", "webhook_url_file", "webhook_url") or "",
        "secret": secret(settings, "notifications", "webhook_secret_file") or "", "ca_file": value("webhook_ca_file") or "",
        "command": arguments, "timeout_s": value("timeout_s"),
        "bus": secret(settings, "notifications", "messaging_url_file", "messaging_url") or "", "topic": value("messaging_topic"),
    }


def check(settings: Settings, made: Policy) -> None:
    """Raise ConfigError when the timings contradict each other, in the words of the file."""
    _raise(f"{', '.join(settings.files)}: {in_options(sentence)}" for sentence in problems(made))


def in_options(sentence: str) -> str:
    """A sentence about Policy fields, as one about options."""
    words = "|".join(sorted(FIELDS, key=len, reverse=True))
    return re.sub(rf"\b({words})\b", lambda match: "[{}] {}".format(*FIELDS[match.group()]), sentence)


# --------------------------------------------------------------------------- the file


def _parse(file: str) -> Mapping[str, Mapping[str, Sequence[str]]]:
    sections: dict[str, dict[str, list[str]]] = {}
    try:
        cfg.ConfigParser(file, sections).parse()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {_why(error)}; name another with --config-file, "
                          "or begin with a copy of hanode.conf.sample") from error
    except (cfg.ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not a configuration file: {error}") from error
    return sections


def _unknown(file: str, sections: Mapping[str, Mapping[str, Sequence[str]]], conf: Any) -> list[str]:
    """Whatever oslo.config would silently ignore: a typing error must not leave a default in force."""
    groups = {"default": "DEFAULT", **{group.name: group.name for group, _ in list_opts() if group.name != "DEFAULT"}}
    wrong = []
    for section, entries in sections.items():
        group = groups.get(section.lower())
        if group is None:
            wrong.append(f"{file}: [{section}] is not a group of hanode; {_nearest(section, groups.values())}")
            continue
        known = [name for name in conf if name not in groups] if group == "DEFAULT" else list(conf[group])
        for key, values in entries.items():
            if key.replace("-", "_") not in known:
                wrong.append(f"{file}: [{section}] {key} is not an option; {_nearest(key, known)}{_elsewhere(key, group)}")
            elif len(values) > 1:
                wrong.append(f"{file}: [{section}] {key} is given {len(values)} times; keep one of them")
    return wrong


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else "see hanode.conf.sample"


def _elsewhere(key: str, group: str) -> str:
    homes = [other.name for other, options in list_opts() if other.name != group and key in {o.dest for o in options}]
    return f" (there is a {key} in {', '.join(f'[{home}]' for home in homes)})" if homes else ""


# --------------------------------------------------------------------------- the values


def _wrong_values(settings: Settings) -> list[str]:
    """oslo.config checks a value when it is first used; we want to know now."""
    wrong = []
    for group, options in list_opts():
        for option in options:
            try:
                settings.get(group.name, option.dest)
            except (cfg.TemplateSubstitutionError, cfg.NoSuchOptError):
                where = settings.where(group.name, option.dest)
                wrong.append(f"{where}: holds a $ that names no option; write $$ for a literal $")
            except (cfg.ConfigFileValueError, cfg.ConfigSourceValueError, ValueError) as error:
                reason = str(error).rpartition("is not valid: ")[2]
                wrong.append(f"{settings.where(group.name, option.dest)} is not valid: {reason}")
    return wrong


def _contradictions(settings: Settings) -> list[str]:
    """Options that are right alone and wrong together, apart from the Policy's own inequalities."""
    try:
        ttl_s, timeout_s = settings.get("office", "lease_ttl_s"), settings.get("journal", "timeout_s")
        domains, kinds = settings.get("storage", "domains"), settings.get("storage", "kinds")
    except (cfg.Error, ValueError):
        return []  # already said by _wrong_values
    wrong = []
    if timeout_s * 5 > ttl_s:
        wrong.append(f"{settings.where('journal', 'timeout_s')} must be at most a fifth of [office] lease_ttl_s "
                     f"({ttl_s:g}): lower it to {ttl_s / 5:g} or less")
    wrong += [f"{settings.where('storage', 'kinds')}: {name} is not among the domains; {_nearest(name, domains.values())}"
              for name in sorted(set(kinds) - set(domains.values()))]
    for group, found in (("probe", probing.wrong), ("priority", ready.wrong), ("web", exposure.wrong)):
        wrong += [f"{settings.where(group, option)}: {why}" for option, why in found(partial(settings.get, group))]
    return wrong


def _domains(settings: Settings) -> Mapping[str, StorageDomain]:
    kinds = settings.get("storage", "kinds")
    return {host: StorageDomain(name, kinds.get(name, "file")) for host, name in settings.get("storage", "domains").items()}


def _plain(field: str, value: Any) -> Any:
    """A list counts as ordered where the policy's own value is."""
    if not isinstance(value, list):
        return value
    return tuple(value) if isinstance(getattr(Policy(), field), tuple) else frozenset(value)


def _option(group: str, name: str) -> Any:
    return next(o for g, options in list_opts() if g.name == group for o in options if o.dest == name)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _raise(wrong: Iterable[str]) -> None:
    sentences = list(wrong)
    if sentences:
        raise ConfigError(*sentences)
