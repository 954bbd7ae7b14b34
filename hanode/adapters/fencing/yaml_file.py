"""What does a YAML file say, and where exactly is it wrong?

Everything wrong is a ConfigError with file, key and remedy. A key written twice is wrong too: plain YAML would
silently keep the last one.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import yaml

from hanode.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            # What a merge key (<<) brought in stands before this mapping in the text, and may be overridden.
            if not isinstance(key, yaml.ScalarNode) or key.start_mark.index < node.start_mark.index:
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(problem=f"{key.value!r} is written twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_mapping(file: Path) -> Mapping[object, object]:
    """The mapping at the top of the file; an empty file is an empty mapping."""
    try:
        text = file.read_text(encoding="utf-8")
        # _Loader is a SafeLoader: no object of ours can be built from the file.
        content = yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); create it or correct the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text ({error}); save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}:" if mark else ""
        raise ConfigError(f"{file}:{line} {error.problem}; correct the YAML there") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: {error}; correct the YAML there") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: must be a mapping that begins with 'hosts:'")
    return content


def did_you_mean(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"


class Section:
    """One mapping of the file. Each reader names the key that it reads; what nobody may read is an unknown key.

    Without `known` every key may stand there, and whoever reads the section judges them.
    """

    def __init__(self, file: Path, path: str, content: object, known: Collection[str]) -> None:
        self.file = file
        self._path = path
        if not isinstance(content, dict):
            raise self.wrong("", "must be a mapping of keys and values, not " + _kind(content))
        self._content = content
        self.keys = tuple(str(key) for key in content)
        for key in content:
            if known and key not in known:
                raise self.wrong(str(key), f"unknown key; {did_you_mean(str(key), known)}")

    def path_of(self, key: str) -> str:
        return ".".join(part for part in (self._path, key) if part)

    def where(self, key: str) -> str:
        return f"{self.file}: {self.path_of(key)}"

    def wrong(self, key: str, text: str) -> ConfigError:
        return ConfigError(f"{self.where(key)}: {text}")

    def has(self, key: str) -> bool:
        return key in self._content

    def raw(self, key: str) -> object:
        """What stands there, for somebody else to read."""
        return self._content[key]

    def mapping(self, key: str) -> Mapping[object, object]:
        """The mapping under this key; a key without anything below it is an empty one."""
        value = self._content.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(key, f"must be a mapping, not {_kind(value)}")
        return value

    def items(self, key: str) -> Sequence[object]:
        """The list under this key, which must not be empty."""
        value = self._value(key, None)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, f"must be a list of at least one, not {_kind(value) if value != [] else 'an empty one'}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, f"must be text, not {_kind(value)}; put it in quotes")
        if not value.strip() and default is None:
            raise self.wrong(key, "is empty; write it down")
        return value

    def texts(self, key: str) -> Sequence[str]:
        """One text, or a list of them."""
        if not isinstance(self._content.get(key), list):
            return [self.text(key)]
        numbered = {str(number): item for number, item in enumerate(self.items(key))}
        items = Section(self.file, self.path_of(key), numbered, known=())
        return [items.text(number) for number in numbered]

    def plain(self, key: str) -> str:
        """Text of one line, a number or a truth, as one would write it on a command line."""
        value = self._value(key, None)
        if isinstance(value, bool):
            return "1" if value else "0"
        if isinstance(value, int | float):
            return f"{value:g}" if isinstance(value, float) else str(value)
        text = self.text(key)
        if len(text.splitlines()) > 1:
            raise self.wrong(key, "must be one line")
        return text

    def number(self, key: str, default: float, least: float, most: float) -> float:
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, f"must be a number, not {_kind(value)}")
        if not least <= value <= most:
            raise self.wrong(key, f"is {value:g}; must be from {least:g} to {most:g}")
        return value

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        value = self.number(key, default, least, most)
        if not isinstance(value, int):
            raise self.wrong(key, f"is {value:g}; must be a whole number")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false, not {_kind(value)}")
        return value

    def _value(self, key: str, default: object) -> object:
        if key in self._content:
            return self._content[key]
        if default is None:
            raise self.wrong(key, "is missing; write it down")
        return default


_KINDS: Mapping[type, str] = {
    str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a mapping",
    type(None): "nothing",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)
