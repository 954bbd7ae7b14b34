"""How does a person write a length of time?"""

from __future__ import annotations

import argparse
import re

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def span_s(text: str) -> float:
    """90s, 30m, 2h, 1d or 1w; a type for argparse."""
    found = re.fullmatch(r"([1-9]\d{0,6})([smhdw])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 30m, 2h or 1d")
    return float(found[1]) * UNITS_S[found[2]]
