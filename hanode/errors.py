"""What can go wrong outside, in the five words the engine reacts to.

Adapters translate every foreign exception into one of these and raise; nobody logs an error and goes on.
"""

from __future__ import annotations


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


class Deposed(HanodeError):
    """We do not hold office any more: the epoch in the journal is another's. Drop everything."""


class JournalConflict(HanodeError):
    """Our epoch still stands, but a record changed since it was read: read again and decide anew."""


class ConfigError(HanodeError):
    """A file or option is wrong; the text names file, key and remedy."""
