"""What would hanode be with limits that follow nothing?

`python -m tests.lab.fixed 8 run --config-file FILE` is `hanode run` with 8 at once in all, per cell, per domain and per target. The program
is the shipped one, with another table of where windows begin, how far they close and what is slow. The ceilings of the
configuration must be the same number.
"""

from __future__ import annotations

import sys
from unittest import mock

from hanode.cli.main import main
from hanode.core import pace

from tests.bench.recovery import fixed

if __name__ == "__main__":
    with mock.patch.object(pace, "SCOPES", fixed(int(sys.argv[1]))):
        sys.exit(main(sys.argv[2:]))
