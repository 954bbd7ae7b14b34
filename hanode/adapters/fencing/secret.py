"""Where is a device's password, and may it be read?

A password is read anew for each use, so that rotating it needs no restart, and lives nowhere longer than that use.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from hanode.errors import ConfigError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
MOST_BYTES = 1024


@dataclass(frozen=True)
class Secret:
    """Exactly one of file, env and value is set. `where` names file and key for messages."""

    where: str
    file: Path | None = None
    env: str = ""
    value: str = field(default="", repr=False)

    def read(self) -> str:
        """The password now; ConfigError names what is wrong, never the password."""
        if self.file is not None:
            password = self._read_file(self.file)
        elif self.env:
            password = os.environ.get(self.env, "")
        else:
            password = self.value
        if not password:
            raise ConfigError(f"{self.where}: the password is empty; {self._remedy()}")
        return password

    def _read_file(self, file: Path) -> str:
        try:
            with file.open(encoding="utf-8") as stream:
                require_private(file, os.fstat(stream.fileno()).st_mode, self.where)
                password = stream.read(MOST_BYTES).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.where}: {file} cannot be read ({error}); {self._remedy()}") from error

        if len(password.splitlines()) > 1:
            raise ConfigError(f"{self.where}: {file} has more than one line; {self._remedy()}")
        return password

    def _remedy(self) -> str:
        if self.file is not None:
            return f"write it as one line of text into {self.file}, readable for the user that hanode runs as"
        return f"set the environment variable {self.env}" if self.env else "write it down"


def require_private(file: Path, mode: int, where: str) -> None:
    """A file with a password must be closed to everybody but its owner."""
    if mode & OTHERS:
        raise ConfigError(f"{where}: {file} can be used by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {file}")
