"""What is in force, and where does each value come from? Every option with its value; secrets are never shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hanode.conf.build import Settings
from hanode.conf.fields import DERIVED, FIELDS
from hanode.conf.options import list_opts

MASK = "***"
FILE = "user"  # oslo.config's word for a value that stands in a file
DERIVED_OPTIONS: Mapping[tuple[str, str], float] = {FIELDS[field]: times for field, times in DERIVED.items()}


@dataclass(frozen=True)
class Line:
    group: str
    option: str
    value: str
    source: str  # a file, "default", or how it is derived
    is_written: bool  # it stands in a file


def effective(settings: Settings) -> Iterator[Line]:
    for group, options in list_opts():
        for option in options:
            yield _line(settings, group.name, option)


def _line(settings: Settings, group: str, option: Any) -> Line:
    value = settings.get(group, option.dest)
    times = DERIVED_OPTIONS.get((group, option.dest))
    if value is None and times is not None:
        interval_s = settings.get("detection", "report_interval_s")
        return Line(group, option.dest, f"{times * interval_s:g}", f"derived: {times:.3g} x [detection] report_interval_s", False)
    found = settings.conf.get_location(option.dest, None if group == "DEFAULT" else group)
    is_written = found is not None and found.location.name == FILE
    shown = MASK if option.secret and value else _text(value)
    return Line(group, option.dest, shown, str(found.detail) if is_written else "default", is_written)


def _text(value: Any) -> str:
    """As one would write it into the file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{item}" for key, item in value.items())
    return ",".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
