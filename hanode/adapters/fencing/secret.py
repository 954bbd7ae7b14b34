"""Where is a device's password, and may it be read?

A password is read anew for each use, so that rotating it needs no restart, and lives nowhere longer than that use. While
one is being rotated, the old and the new one may both be named: the next is tried when the first is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hanode.errors import ConfigError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
MOST_BYTES = 1024
CREDENTIALS = "CREDENTIALS_DIRECTORY"  # where systemd puts what LoadCredential= names


@dataclass(frozen=True)
class Secret:
    """Exactly one of file, env, credential and value is set. `where` names file and key for messages."""

    where: str
    file: Path | None = None
    env: str = ""
    credential: str = ""
    value: str = field(default="", repr=False)
    other: Secret | None = None  # to be tried when this one is refused

    def each(self) -> Iterator[Secret]:
        """This one, and those that stand in for it during a rotation."""
        yield self
        if self.other is not None:
            yield from self.other.each()

    @property
    def source(self) -> str:
        """Which secret it is, without telling it: devices with the same source share their login."""
        return str(self.file or "") or self.env or self.credential or self.where

    def read(self) -> str:
        """The password now; ConfigError names what is wrong, never the password."""
        if self.file is not None:
            password = self._read_file(self.file, private=True)
        elif self.credential:
            # systemd's own directory is closed to others, and the mode of its files is systemd's choice.
            password = self._read_file(self._credential_file(), private=False)
        elif self.env:
            password = os.environ.get(self.env, "")
        else:
            password = self.value
        if not password:
            raise ConfigError(f"{self.where}: the password is empty; {self._remedy()}")
        if len(password.splitlines()) > 1:
            raise ConfigError(f"{self.where}: the password has more than one line; {self._remedy()}")
        return password

    def _credential_file(self) -> Path:
        directory = os.environ.get(CREDENTIALS)
        if not directory:
            raise ConfigError(f"{self.where}: systemd gave this service no credentials; {self._remedy()}")
        return Path(directory) / self.credential

    def _read_file(self, file: Path, private: bool) -> str:
        try:
            with file.open(encoding="utf-8") as stream:
                if private:
                    require_private(file, os.fstat(stream.fileno()).st_mode, self.where)
                return stream.read(MOST_BYTES).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.where}: {file} cannot be read ({error}); {self._remedy()}") from error

    def _remedy(self) -> str:
        if self.file is not None:
            return f"write it as one line of text into {self.file}, readable for the user that hanode runs as"
        if self.credential:
            return f"write LoadCredential={self.credential}:/path/of/the/file into the unit, one line of text in the file"
        return f"set the environment variable {self.env}, one line of text" if self.env else "write it down as one line of text"


def require_private(file: Path, mode: int, where: str) -> None:
    """A file with a password must be closed to everybody but its owner."""
    if mode & OTHERS:
        raise ConfigError(f"{where}: {file} can be used by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {file}")
