"""Which options does a program of fence-agents know? Asked of the program itself, once for each version of it."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hanode.adapters.fencing import process
from hanode.adapters.fencing.attempt import Attempt
from hanode.errors import ConfigError, HanodeError

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Option:
    name: str
    required: bool
    former_name: str = ""  # it is known by this one too


def find(name: str) -> Path | None:
    """Where the program is, if it is installed."""
    found = shutil.which(name, path=process.path())
    return Path(found) if found else None


def options_of(agent: Path) -> Mapping[str, Option]:
    """By name, without what is only a former name of another; raises ConfigError when the program cannot tell."""
    return _options(agent, agent.stat().st_mtime_ns)


@lru_cache(maxsize=128)
def _options(agent: Path, _changed_ns: int) -> Mapping[str, Option]:
    try:
        result = process.run([str(agent), "-o", "metadata"], Attempt(str(agent), TIMEOUT_S, lambda: False))
        root = ElementTree.fromstring(result.stdout)
    except (HanodeError, ElementTree.ParseError) as error:
        raise ConfigError(f"{agent} does not tell its options ({error}); run `{agent} -o metadata` and mend it") from error
    found = [
        Option(parameter.get("name", ""), parameter.get("required") == "1", parameter.get("obsoletes", ""))
        for parameter in root.iter("parameter")
    ]
    former = {option.former_name for option in found}
    return {option.name: option for option in found if option.name not in former}
