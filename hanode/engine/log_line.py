"""How does each thing that is logged stay on its line? Whatever a tenant named an instance, or a service answered."""

from __future__ import annotations

import logging

from hanode.engine.plain import one_line


class OneLine(logging.Filter):
    """Makes controls and line breaks visible before any format is applied; a traceback of ours is not touched."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = one_line(record.getMessage()), None
        return True


def keep_lines() -> None:
    """To be called after each set-up of the log: it makes new handlers."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(OneLine())
