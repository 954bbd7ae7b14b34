"""What can go wrong outside, in the five words the engine reacts to.

Adapters translate every foreign exception into one of these and raise; nobody logs an error and goes on.
"""

from __future__ import annotations

from collections.abc import Sequence


class HanodeError(Exception):
    """Anything hanode raises on purpose; the text is written for the operator who reads it."""


class Refused(HanodeError):
    """The other side understood and said no: nothing happened, and repeating it unchanged is pointless."""


class Unreachable(HanodeError):
    """The request was certainly not delivered (no connection): nothing happened, it may be repeated."""


class Ambiguous(HanodeError):
    """Delivered perhaps, answered never (a timeout, a 5xx): it may or may not have taken effect.

    Only reading the world again tells; a request that is not idempotent must not be repeated.
    """


def in_part(error: HanodeError, done: Sequence[str]) -> HanodeError:
    """The failure of a whole of which parts were done already: nobody can say any more that nothing happened."""
    return Ambiguous(f"{', '.join(done)} accepted it, but {error}") if done else error


class Deposed(HanodeError):
    """We do not hold office any more: the epoch in the journal is another's. Drop everything."""


class JournalConflict(HanodeError):
    """Our epoch still stands, but a record changed since it was read: read again and decide anew."""


class ConfigError(HanodeError):
    """A file or option is wrong; each argument is a sentence that names file, key and remedy."""

    def __str__(self) -> str:
        return "; ".join(str(sentence) for sentence in self.args)
