"""What does the BMC of a host do, honest or not?

One process per host, outside of the host's process group: `python -m tests.lab.stack.bmc HOST`. It speaks
IPMI 2.0 over LAN (cipher suite 3) and holds the power switch. Over a unix socket it takes one JSON line
per connection, from tests: {"op": "fault", "kind": ...}, {"op": "reboot", ...} or {"op": "status"}.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socketserver
import sys
import threading
import time
from typing import Any

from pyghmi.ipmi.bmc import Bmc
from pyghmi.ipmi.private.serversession import IpmiServer

from . import power
from .layout import IPMI_USER, SECRET, Host, Lab

PR_SET_CHILD_SUBREAPER = 36
# The IPMI completion code "command not supported in present state".
REFUSED = 0xD5
NO_FAULT = "honest"
FAULTS = {
    NO_FAULT: "does what it says",
    "lies-off": "acknowledges off, does nothing, and from then on says off",
    "lies-on": "acknowledges off, does nothing, and keeps saying on",
    "silent": "answers nothing at all",
    "refuses": "answers every power command with an error",
    "slow": "acknowledges off at once and does it `delay_s` later",
}


class HostBmc(Bmc):
    """A BMC whose honesty can be chosen at run time."""

    def __init__(self, lab: Lab, host: Host) -> None:
        super().__init__({IPMI_USER: SECRET}, port=host.bmc_port, bmcuuid=host.system_uuid, address=f"::ffff:{host.bmc_address}")
        self.lab = lab
        self.host = host
        self.fault = NO_FAULT
        self.delay_s = 0.0
        self.claims_off = False
        self.rebooting: threading.Timer | None = None
        self.reads_while_rebooting = "off"

    # IPMI.

    def sessionless_data(self, data: Any, sockaddr: Any) -> None:
        if self.fault != "silent":
            IpmiServer.sessionless_data(self, data, sockaddr)

    def handle_raw_request(self, request: Any, session: Any) -> None:
        if self.fault != "silent":
            super().handle_raw_request(request, session)

    def get_system_guid(self) -> Any:
        return self.host.system_uuid

    def get_power_state(self) -> str:
        if self.claims_off:
            return "off"
        if self.rebooting and self.rebooting.is_alive():
            return self.reads_while_rebooting
        return "on" if power.is_on(self.host) else "off"

    def power_off(self) -> int | None:
        self.say(f"power off, {self.fault}")
        if self.fault == "refuses":
            return REFUSED
        if self.fault in ("lies-off", "lies-on"):
            self.claims_off = self.fault == "lies-off"
            return None
        self.cancel_reboot()
        if self.fault == "slow":
            threading.Timer(self.delay_s, power.cut, (self.host,)).start()
        else:
            power.cut(self.host)
        return None

    # A soft shutdown that no guest operating system delays.
    power_shutdown = power_off

    def power_on(self) -> int | None:
        self.say(f"power on, {self.fault}")
        if self.fault == "refuses":
            return REFUSED
        if self.fault not in ("lies-off", "lies-on"):
            power.connect(self.lab, self.host)
        self.claims_off = False
        return None

    def power_reset(self) -> int | None:
        if not power.is_on(self.host):
            return REFUSED
        return self.power_off() or self.power_on()

    power_cycle = power_reset

    # Orders from tests.

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if order["op"] == "fault":
            if order["kind"] not in FAULTS:
                raise ValueError(f"no such fault: {order['kind']}; there are {sorted(FAULTS)}")
            self.fault = order["kind"]
            self.delay_s = float(order.get("delay_s", 0))
            self.claims_off = False
        elif order["op"] == "reboot":
            self.reboot(float(order["after_s"]), order["reads"])
        elif order["op"] != "status":
            raise ValueError(f"no such order: {order['op']}")
        return {"fault": self.fault, "on": power.is_on(self.host), "says": self.get_power_state()}

    def reboot(self, after_s: float, reads: str) -> None:
        """The host goes down and comes up by itself, nobody having asked the BMC for it."""
        self.cancel_reboot()
        self.reads_while_rebooting = reads
        self.rebooting = threading.Timer(after_s, power.connect, (self.lab, self.host))
        self.rebooting.daemon = True
        self.rebooting.start()
        power.cut(self.host)
        self.say(f"reboot, back in {after_s} s, reads {reads} until then")

    def cancel_reboot(self) -> None:
        if self.rebooting:
            self.rebooting.cancel()
            self.rebooting = None

    def say(self, what: str) -> None:
        print(f"{time.monotonic():.3f} {self.host.name} {what}", flush=True)


class Orders(socketserver.StreamRequestHandler):
    """One order, one answer, each a line of JSON."""

    bmc: HostBmc

    def handle(self) -> None:
        try:
            answer = self.bmc.obey(json.loads(self.rfile.readline()))
        except (ValueError, KeyError) as error:
            answer = {"error": str(error)}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


def main() -> None:
    lab = Lab.from_environment()
    host = lab.host(sys.argv[1])
    # The dead of a host whose power was cut fall to us; ignoring them lets the kernel bury them.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    bmc = HostBmc(lab, host)
    Orders.bmc = bmc
    host.control_socket.unlink(missing_ok=True)
    server = socketserver.ThreadingUnixStreamServer(os.fspath(host.control_socket), Orders)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bmc.say("BMC up")
    bmc.listen()


if __name__ == "__main__":
    main()
