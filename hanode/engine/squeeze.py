"""How does a long text become short enough for the journal, and long again? It stays text, because JSON is all that is kept there."""

from __future__ import annotations

import base64
import binascii
import zlib


def squeezed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode(), level=1)).decode("ascii")


def unsqueezed(text: str) -> str:
    """Raises ValueError for what `squeezed` has not made."""
    try:
        return zlib.decompress(base64.b64decode(text, validate=True)).decode()
    except (TypeError, binascii.Error, zlib.error) as error:
        raise ValueError(str(error)) from error
