"""[priority] ready: which ports and which programs tell that an instance serves again? Taken apart and checked."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hanode.core.addresses import is_prefix
from hanode.core.serving import TCP, port_of

Get = Callable[[str], Any]
"""The value of an option of [priority]."""


def programs(get: Get) -> Mapping[str, str]:
    """The rules that name a program, and its command line."""
    return {rule: text for rule, text in get("ready").items() if text.startswith("/")}


def wrong(get: Get) -> Iterator[tuple[str, str]]:
    """(option, what is wrong with it and what to do) of everything that no single option can know."""
    for rule, text in sorted(get("ready").items()):
        if text.startswith(TCP) and port_of(text) is None:
            yield "ready", f"{text!r} of {rule} names no port: write tcp:5432"
        elif not text.startswith(("/", TCP)):
            yield "ready", f"{text!r} of {rule} is neither tcp:PORT nor the full path of a program"
        elif text.startswith(TCP) and not get("ready_networks"):
            yield "ready_networks", f"is empty, so the port of {rule} is never asked: name the networks that the controllers reach"
        elif text.startswith("/"):
            yield from _wrong_program(rule, text)
    for prefix in get("ready_networks"):
        if not is_prefix(prefix):
            yield "ready_networks", f"{prefix!r} is not a prefix without host bits: write it as 203.0.113.0/24"


def _wrong_program(rule: str, text: str) -> Iterator[tuple[str, str]]:
    try:
        shlex.split(text)
    except ValueError as error:
        yield "ready", f"the program of {rule} cannot be taken apart ({error}): close every quotation mark"
    if "{id}" not in text and "{address}" not in text:
        yield "ready", f"the program of {rule} names neither {{id}} nor {{address}}: it would say the same of every instance"
