"""How is a host cut off from its disks, and who says that it is? The store itself: an order that was accepted proves nothing.

Each use has a deadline and a process group of its own. Refused and Unreachable promise that nothing was ordered.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from hanode.adapters.fencing import process
from hanode.adapters.fencing.attempt import Attempt, in_thread
from hanode.adapters.fencing.drivers import PLACE
from hanode.adapters.fencing.stores import SECONDS, BlocklistSettings, CommandStoreSettings, StoresConfig, StoreSettings
from hanode.core.addresses import is_address
from hanode.core.facts import Access, StoreCheck
from hanode.errors import Ambiguous, HanodeError, Refused, Unreachable, in_part

DENIED = re.compile(r"access denied|permission denied|\bEACCES\b|\bEPERM\b|\bEINVAL\b|invalid command", re.IGNORECASE)
"""What ceph says when it understood and will not. It ends with 1 for that and for a cluster that it does not reach alike."""

WHOLE_HOST = re.compile(r"\[?(?P<address>[0-9A-Fa-f.:]+?)\]?:0/0")
"""An entry without port and nonce is about every client of an address; those with one are Ceph's own, about one client."""


class Store(Protocol):
    def cut(self, host: str, for_s: float, attempt: Attempt) -> None: ...
    def restore(self, host: str, attempt: Attempt) -> None: ...
    def read(self, host: str, attempt: Attempt) -> Access: ...
    def others(self, attempt: Attempt) -> frozenset[str]:
        """Every host described by its addresses that is cut off now; none where the store tells no such list."""
        ...


class Stores:
    """Of each storage domain the store that serves it; opened anew at each use, as power devices are."""

    def __init__(self, config: StoresConfig) -> None:
        self._config = config

    def reload(self, config: StoresConfig) -> None:
        self._config = config

    def cut(self, domain: str, host: str, for_s: float, abort: Callable[[], bool]) -> None:
        """Order it, and look: returning means that the store itself says once that it stands."""
        store, attempt = self._use(domain, abort)
        store.cut(host, for_s, attempt)
        if store.read(host, attempt) is not Access.CUT:
            raise Ambiguous(f"{attempt.device}: accepts the order, and does not show {host} cut off")

    def restore(self, domain: str, host: str, abort: Callable[[], bool]) -> None:
        store, attempt = self._use(domain, abort)
        store.restore(host, attempt)

    def read(self, domain: str, host: str) -> Access:
        store, attempt = self._use(domain, lambda: False)
        return store.read(host, attempt)

    def check(self, domain: str, host: str) -> StoreCheck:
        """Would it answer if it were needed? Nothing is changed; `host` is any one of those that it serves."""
        begun_s = time.monotonic()
        try:
            store, attempt = self._use(domain, lambda: False)
            others = store.others(attempt)
            if host:
                store.read(host, attempt)
        except HanodeError as error:
            return StoreCheck(trouble=str(error), took_s=time.monotonic() - begun_s)
        return StoreCheck(cut=others, took_s=time.monotonic() - begun_s)

    def _use(self, domain: str, abort: Callable[[], bool]) -> tuple[Store, Attempt]:
        settings = self._config.of(domain)
        return _open(settings), Attempt(f"store {domain}", settings.timeout_s, abort)


def _open(settings: StoreSettings) -> Store:
    return Blocklist(settings) if isinstance(settings, BlocklistSettings) else CommandStore(settings)


# --------------------------------------------------------------------------- Ceph


class Blocklist:
    """By the monitors of a Ceph cluster: `osd blocklist`, by addresses, for every client behind each of them."""

    def __init__(self, settings: BlocklistSettings) -> None:
        self._settings = settings

    def cut(self, host: str, for_s: float, attempt: Attempt) -> None:
        addresses = self._addresses(host, attempt)
        self._listed(attempt)  # who does not reach the monitors, or may not ask them, orders nothing
        self._order(attempt, [("add", address, str(int(for_s))) for address in addresses])

    def restore(self, host: str, attempt: Attempt) -> None:
        listed = self._listed(attempt)
        self._order(attempt, [("rm", address) for address in self._addresses(host, attempt) if address in listed])

    def read(self, host: str, attempt: Attempt) -> Access:
        return _together(address in self._listed(attempt) for address in self._addresses(host, attempt))

    def others(self, attempt: Attempt) -> frozenset[str]:
        listed = self._listed(attempt)
        return frozenset(host for host, texts in self._settings.addresses.items() if listed.intersection(texts))

    def _order(self, attempt: Attempt, orders: Sequence[Sequence[str]]) -> None:
        done: list[str] = []
        for order in orders:
            try:
                attempt.sending()
                self._ceph(attempt, *order)
            except HanodeError as error:
                raise in_part(error, done) from error
            done.append(order[1])

    def _listed(self, attempt: Attempt) -> frozenset[str]:
        said = self._ceph(attempt, "ls").stdout
        try:
            entries = [str(entry["addr"]) for entry in json.loads(said)]
        except (ValueError, TypeError, KeyError) as error:
            raise attempt.unanswered(f"its list cannot be read ({process.last_line(said)})") from error
        found = (WHOLE_HOST.fullmatch(entry) for entry in entries)
        return frozenset(str(ipaddress.ip_address(match["address"])) for match in found if match)

    def _addresses(self, host: str, attempt: Attempt) -> tuple[str, ...]:
        """A host is known by each address of each of its names: one that is left out could go on writing."""
        found = {address for text in self._settings.addresses_of(host) for address in _resolved(text, attempt)}
        return tuple(sorted(found))

    def _ceph(self, attempt: Attempt, *words: str) -> subprocess.CompletedProcess[str]:
        s = self._settings
        login = ("--conf", str(s.conf), "--name", f"client.{s.user}", "--keyring", str(s.keyring))
        patience = ("--connect-timeout", str(max(1, int(attempt.remaining_s()))))
        result = process.run([str(s.program), *login, *patience, "--format", "json", "osd", "blocklist", *words], attempt)
        if result.returncode == 0:
            return result
        said = process.last_line(result.stdout + result.stderr)
        if DENIED.search(said):
            what = f"`osd blocklist {words[0]}` to client.{s.user}"
            raise Refused(f"{attempt.device}: refuses {what} ({said}): see its caps in docs/fencing.md")
        raise attempt.unanswered(f"ceph ended with {result.returncode} ({said})")


def _resolved(text: str, attempt: Attempt) -> Collection[str]:
    if is_address(text):
        return [str(ipaddress.ip_address(text))]
    try:
        found = in_thread(attempt, lambda: socket.getaddrinfo(text, None, type=socket.SOCK_STREAM))
    except OSError as error:
        raise Unreachable(f"{attempt.device}: {text} cannot be resolved ({error}): no order was sent") from error
    return {str(ipaddress.ip_address(str(row[4][0]))) for row in found}


def _together(listed: Iterable[bool]) -> Access:
    said = set(listed)
    return Access.PARTLY if len(said) != 1 else Access.CUT if said == {True} else Access.OPEN


# --------------------------------------------------------------------------- any other


ENDS: Mapping[int, Callable[[str], HanodeError]] = {3: Refused, 4: Unreachable}
STATES: Mapping[str, Access] = {"cut": Access.CUT, "open": Access.OPEN}


class CommandStore:
    """By three programs of the operator's, which end as those of driver command do; `status` prints `cut` or `open` last."""

    def __init__(self, settings: CommandStoreSettings) -> None:
        self._settings = settings

    def cut(self, host: str, for_s: float, attempt: Attempt) -> None:
        self.read(host, attempt)
        attempt.sending()
        self._run(self._settings.cut, host, attempt, for_s)

    def restore(self, host: str, attempt: Attempt) -> None:
        attempt.sending()
        self._run(self._settings.restore, host, attempt)

    def read(self, host: str, attempt: Attempt) -> Access:
        lines = self._run(self._settings.status, host, attempt).stdout.splitlines()
        return STATES.get(lines[-1].strip(), Access.PARTLY) if lines else Access.PARTLY

    def others(self, attempt: Attempt) -> frozenset[str]:  # noqa: ARG002 - no program of the operator's lists them
        return frozenset()

    def _run(self, argv: Sequence[str], host: str, attempt: Attempt, for_s: float = 0.0) -> subprocess.CompletedProcess[str]:
        arguments = [word.replace(PLACE, host).replace(SECONDS, str(int(for_s))) for word in argv]
        return process.run_well(arguments, attempt, ENDS)
