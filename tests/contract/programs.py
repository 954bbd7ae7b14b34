"""How does a power device fail that is reached through a program? Scripts that read their faults from files."""

from __future__ import annotations

from pathlib import Path

from hanode.adapters.fencing.settings import AgentSettings, CommandSettings, Settings
from tests.contract.bmcs import HOST, PASSWORD, password_file

METADATA = """<?xml version="1.0" ?>
<resource-agent name="fence_fake" shortdesc="A fence agent for tests">
<parameters>
  <parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
  <parameter name="ip" required="1" obsoletes="ipaddr"/>
  <parameter name="ipaddr" required="1" deprecated="1"/>
  <parameter name="plug" required="1" obsoletes="port"/>
  <parameter name="port" required="1" deprecated="1"/>
  <parameter name="password" required="0" obsoletes="passwd"/>
  <parameter name="passwd" required="0" deprecated="1"/>
  <parameter name="password_script" required="0"/>
  <parameter name="community" required="0"/>
  <parameter name="login_timeout" required="0"/>
  <parameter name="ssl_insecure" required="0"/>
  <parameter name="verbose" required="0"/>
  <parameter name="method" required="0"/>
</parameters>
</resource-agent>
"""

PLAYED = r"""
act() {
    echo begin >> $state/log
    case "$1" in
        on|off)
            echo "$1" >> $state/orders
            [ "$fault" = hang ] && { sleep 1000 & echo $! > $state/child; wait; }
            [ "$fault" = lie ] || echo "$1" > $state/power
            [ -s $state/ends ] && { echo end >> $state/log; exit $(cat $state/ends); };;
    esac
    echo end >> $state/log
}
"""

FAKE_AGENT = r"""#!/bin/sh
state=STATE
[ "$1" = -o ] && { cat $state/metadata; exit 0; }
fault=$(cat $state/fault)
echo "$*" >> $state/argv
env >> $state/environment
while IFS='=' read -r key value; do
    echo "$key=$value" >> $state/told
    case "$key" in action) action=$value;; password) password=$value;; esac
done
PLAYED
fail() { echo 'Failed: Unable to connect/login to fencing device' >&2; exit 1; }
[ "$fault" = dead ] && fail
[ "$password" = "$(cat $state/password)" ] || fail
[ "$fault" = usage ] && { echo "usage: fence_fake" >&2; exit 2; }
[ "$fault" = leak ] && { echo "cannot log in as $password" >&2; exit 1; }
act $action
case "$action $(cat $state/power)" in
    'status on') echo 'Status: ON'; exit 0;;
    'status off') echo 'Status: OFF'; exit 2;;
    *) echo 'Success'; exit 0;;
esac
"""

FAKE_COMMAND = r"""#!/bin/sh
state=STATE
fault=$(cat $state/fault)
echo "$*" >> $state/argv
env >> $state/environment
read -r password
PLAYED
[ "$fault" = dead ] && { echo 'no route to the device' >&2; exit 4; }
[ "$password" = "$(cat $state/password)" ] || { echo 'wrong password' >&2; exit 5; }
act $2
[ "$2" = status ] && { echo 'asked the device'; cat $state/power; }
exit 0
"""


class Scripted:
    """A program in `directory`, whose faults are files that it reads there."""

    settings: Settings

    def __init__(self, directory: Path, name: str, text: str) -> None:
        self.directory = directory
        for file, content in {"fault": "none", "power": "on", "password": PASSWORD}.items():
            self.put(file, content)
        self.program = directory / name
        self.program.write_text(text.replace("PLAYED", PLAYED).replace("STATE", str(directory)))
        self.program.chmod(0o755)
        self.secrets = directory / "secrets"
        self.secrets.mkdir()

    def put(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def get(self, name: str) -> str:
        file = self.directory / name
        return file.read_text() if file.exists() else ""

    def power(self) -> str:
        return self.get("power").strip()

    def orders(self) -> int:
        return len(self.get("orders").splitlines())

    def change_password(self, password: str) -> None:
        self.put("password", password)

    def vanish(self) -> None:
        self.put("fault", "dead")

    def lie(self) -> None:
        self.put("fault", "lie")

    def hang_on_order(self) -> None:
        self.put("fault", "hang")

    def stop(self) -> None:
        """Nothing runs between calls."""

    @property
    def most_at_once(self) -> int:
        running = most = 0
        for line in self.get("log").splitlines():
            running += 1 if line == "begin" else -1
            most = max(most, running)
        return most


class ScriptedAgent(Scripted):
    """A program that speaks as those of fence-agents do."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "fence_fake", FAKE_AGENT)
        self.put("metadata", METADATA)
        self.settings = AgentSettings(
            host=HOST, agent=self.program, options={"ip": "pdu1", "plug": "1"}, secret=password_file(self.secrets), timeout_s=20.0)


class ScriptedCommand(Scripted):
    """A program of the operator's."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "fence-it", FAKE_COMMAND)
        self.settings = CommandSettings(
            host=HOST, argv=(str(self.program), HOST, "{action}"), secret=password_file(self.secrets), timeout_s=20.0)
