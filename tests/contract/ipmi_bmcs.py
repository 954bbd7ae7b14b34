"""How does a BMC that speaks IPMI fail? A script in the place of ipmitool, and a real server where one is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from hanode.adapters.fencing.settings import IpmiSettings, Settings
from tests.contract.bmcs import HOST, PASSWORD, UUID, password_file
from tests.contract.programs import Scripted

# --------------------------------------------------------------------------- a script that plays ipmitool

# What it prints is what ipmitool 1.8.19 -v printed against a real simulator, word for word.
FAKE_IPMITOOL = r"""#!/bin/sh
state=STATE
fault=$(cat $state/fault)
echo begin >> $state/log
echo "$*" >> $state/argv
env >> $state/environment
while [ $# -gt 0 ]; do
    case "$1" in
        -f) password=$(cat "$2"); shift 2;;
        -v) shift;;
        -*) shift 2;;
        *) break;;
    esac
done
echo 'Loading IANA PEN Registry...' >&2
finish() { echo end >> $state/log; exit $1; }
no_session() { echo 'Error: Unable to establish IPMI v2 / RMCP+ session' >&2; finish 1; }
[ "$fault" = dead ] && no_session
[ "$fault" = crowded ] && { echo 'RAKP 2 message indicates an error : insufficient resources for session' >&2; no_session; }
[ "$password" = "$(cat $state/password)" ] || { echo '> RAKP 2 HMAC is invalid' >&2; no_session; }
case "$*" in
    'mc guid')
        [ -s $state/guid ] || { echo 'Get GUID command failed: Invalid command' >&2; finish 1; }
        echo "System GUID   : $(cat $state/guid)"
        echo 'GUID Encoding : IPMI';;
    'power status')
        [ "$fault" = odd ] && { echo 'Chassis Power is off, or so'; finish 0; }
        echo "Chassis Power is $(cat $state/power)";;
    'power on'|'power off')
        echo "$2" >> $state/orders
        [ -s $state/says ] && { cat $state/says >&2; finish 1; }
        [ "$fault" = hang ] && { sleep 1000 & echo $! > $state/child; wait; }
        [ "$fault" = lie ] || echo "$2" > $state/power
        echo 'Chassis Power Control: as asked';;
    *) echo "Invalid command: $*" >&2; finish 1;;
esac
finish 0
"""


class ScriptedIpmitool(Scripted):
    """Give `directory` to PATH."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "ipmitool", FAKE_IPMITOOL)
        self.put("guid", UUID)
        self.settings = IpmiSettings(
            host=HOST, address="127.0.0.1", username="hanode", secret=password_file(self.secrets), timeout_s=20.0)


# --------------------------------------------------------------------------- OpenIPMI's simulator

SIMULATED_LAN = """
name "cn1"
set_working_mc 0x20
 startlan 1
 addr 127.0.0.1 {port}
 priv_limit admin
 allowed_auths_callback none md2 md5 straight
 allowed_auths_user none md2 md5 straight
 allowed_auths_operator none md2 md5 straight
 allowed_auths_admin none md2 md5 straight
 guid {guid}
 endlan
 chassis_control "{directory}/chassis 0x20"
 user 2 true "hanode" "{password}" admin 10 none md2 md5 straight
"""
SIMULATED_BOARD = """
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""
CHASSIS = r"""#!/bin/sh
cd DIRECTORY
case "$2 $3" in
    'get power') echo "power:$(cat power)";;
    'set power')
        echo "$4" >> orders
        case $(cat fault) in
            hang) sleep 1000;;
            lie) ;;
            *) echo "$4" > power;;
        esac;;
    get*) echo "$3:0";;
esac
"""


class SimulatedIpmi:
    """The real ipmitool against a real lanplus server, where both are installed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = port = _free_udp_port()
        (directory / "power").write_text("1")
        (directory / "fault").write_text("none")
        (directory / "chassis").write_text(CHASSIS.replace("DIRECTORY", str(directory)))
        (directory / "chassis").chmod(0o755)
        self._write_lan(port, PASSWORD)
        (directory / "board.emu").write_text(SIMULATED_BOARD)
        self.settings: Settings = IpmiSettings(
            host=HOST, address="127.0.0.1", port=port, cipher=3, privilege="ADMINISTRATOR", username="hanode",
            secret=password_file(directory), timeout_s=20.0)
        self._start()

    @staticmethod
    def missing() -> str:
        return ", ".join(program for program in ("ipmitool", "ipmi_sim") if shutil.which(program) is None)

    def _write_lan(self, port: int, password: str) -> None:
        (self.directory / "lan.conf").write_text(SIMULATED_LAN.format(
            port=port, directory=self.directory, password=password, guid=UUID.replace("-", "")))

    def _start(self) -> None:
        (self.directory / "state").mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            ["ipmi_sim", "-n", "-c", "lan.conf", "-f", "board.emu", "-s", "state"], cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def runs(self) -> bool:
        return self._process.poll() is None

    def power(self) -> str:
        return {"0": "off", "1": "on"}[(self.directory / "power").read_text().strip()]

    def orders(self) -> int:
        file = self.directory / "orders"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def change_password(self, password: str) -> None:
        self.stop()
        assert isinstance(self.settings, IpmiSettings)
        self._write_lan(self.settings.port, password)
        self._start()

    def vanish(self) -> None:
        self.stop()

    def lie(self) -> None:
        (self.directory / "fault").write_text("lie")

    def hang_on_order(self) -> None:
        (self.directory / "fault").write_text("hang")

    def stop(self) -> None:
        if self.runs():
            os.killpg(self._process.pid, signal.SIGKILL)  # with a chassis script that may be sleeping
            self._process.wait()


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
