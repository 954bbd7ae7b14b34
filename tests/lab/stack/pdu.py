"""What does the outlet of a host do? A second way to its power switch, for the night in which its BMC is dead too.

`python -m tests.lab.stack.pdu HOST on|off|status`, by the protocol of hanode's driver `command`.
"""

from __future__ import annotations

import sys

from . import power
from .layout import Lab


def main() -> int:
    name, action = sys.argv[1:]
    lab = Lab.from_environment()
    host = lab.host(name)
    if action == "off":
        power.cut(host)
    elif action == "on":
        power.connect(lab, host)
    else:
        print("on" if power.is_on(host) else "off")
    return 0


if __name__ == "__main__":
    sys.exit(main())
