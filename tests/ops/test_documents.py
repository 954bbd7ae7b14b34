"""Every command that the documents tell an operator to type exists, with these options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hanode.cli.main import COMMANDS, Shell
from hanode.conf.options import list_opts

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "devstack/README.md")

QUOTED = re.compile(r"`(hanode [^`\n]+)`")
ENDS = re.compile(r" (?:[>|#&]|2>|&&).*$|      .*$|;.*$")
BUILT_IN = frozenset({"complete", "help"})


def commands(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    consoles = "\n".join(re.findall(r"(?ms)^ *```(?:console|sh|bash)?\n(.*?)^ *```", text))
    quoted = QUOTED.findall(text)
    lines = [line.strip().removeprefix("# ").removeprefix("$ ") for line in consoles.splitlines() if re.match(r"\s*[#$] ", line)]
    typed = [part.strip() for line in lines for part in line.split("&&")]
    for line in [*quoted, *typed]:
        if line.startswith("hanode "):
            yield ENDS.sub("", line)


FOUND = sorted({(path.relative_to(ROOT), line) for path in DOCUMENTS for line in commands(path)})


def problem(line: str) -> str:
    """Why the command line would not be taken; empty: it would."""
    words = shlex.split(line.replace("'...", "'x").replace("...", "x"))[1:]
    if words[:1] == ["--version"] or (words and words[0] in BUILT_IN):
        return ""
    name = next((" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in COMMANDS), "")
    if not name:
        return f"there is no command {' '.join(words[:2])!r}"
    parser: Any = COMMANDS[name](Shell(), None).get_parser(f"hanode {name}")
    given = words[len(name.split()):]
    options = {option for action in parser._actions for option in action.option_strings}
    unknown = [word for word in given if word.startswith("-") and word != "-" and word.split("=")[0] not in options]
    return f"hanode {name} has no option {unknown}" if unknown else ""


def test_the_documents_tell_commands() -> None:
    """The pattern above finds them; were it wrong, everything below would pass."""
    assert len(FOUND) > 40
    assert (Path("docs/operator-guide.md"), "hanode config propose --fencing") in FOUND


@pytest.mark.parametrize(("path", "line"), FOUND, ids=lambda value: str(value))
def test_every_command_of_the_documents_exists(path: Path, line: str) -> None:
    """It is copied at three in the morning."""
    assert problem(line) == "", f"{path}: {line}"


@pytest.mark.parametrize("line", ["hanode host relase c1", "hanode host release c1 --force", "hanode incidents"])
def test_a_wrong_command_would_be_found(line: str) -> None:
    """The check itself can fail."""
    assert problem(line)


def test_every_command_is_documented() -> None:
    """What nobody reads about is not used: each noun stands in some document."""
    told = {" ".join(line.split()[1:3]) for _, line in FOUND} | {line.split()[1] for _, line in FOUND}
    assert COMMANDS.keys() <= told


OPTION = re.compile(r"`\[([A-Za-z]+)\] ([a-z_]+)")


def test_every_option_of_the_documents_exists() -> None:
    """An option that was renamed is refused at the next start, in the words of the old document."""
    known = {(group.name, option.dest) for group, options in list_opts() for option in options}
    named = {(path.name, *found) for path in DOCUMENTS for found in OPTION.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert not {(file, group, option) for file, group, option in named if (group, option) not in known}

@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_teaches(name: str) -> None:
    """What it does in a sentence, what its exit code means, and a line to copy."""
    command: Any = COMMANDS[name](Shell(), None)
    parser = command.get_parser(f"hanode {name}")
    shown = f"{command.get_description()}\n{command.get_epilog()}"
    assert re.search(r"\w+\.", shown) and "xit code" in shown
    assert f"  hanode {name}" in re.split("Examples?:\n", shown)[1]
    undocumented = [action.dest for action in parser._actions if not (action.help or action.metavar)]
    assert undocumented in ([], ["command"]), "an option without a word about it"
