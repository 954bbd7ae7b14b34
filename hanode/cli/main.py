"""Which commands does `hanode` have?"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from cliff.app import App
from cliff.command import Command
from cliff.commandmanager import CommandManager

import hanode
from hanode.cli import (
    brake,
    capacity,
    config,
    demo,
    drill,
    explain,
    failback,
    fence,
    host,
    incident,
    journal,
    maintenance,
    notify,
    replay,
    report,
    run,
    simulate,
    status,
    watch,
)

COMMANDS: Mapping[str, type[Command]] = {
    "status": status.Status,
    "explain": explain.Explain,
    "capacity": capacity.Capacity,
    "plan": capacity.Plan,
    "host list": host.HostList,
    "host show": host.HostShow,
    "host confirm-fenced": host.HostConfirmFenced,
    "host release": host.HostRelease,
    "host evacuate": host.HostEvacuate,
    "host ok-to-stop": capacity.HostOkToStop,
    "host maintenance": maintenance.HostMaintenance,
    "drill": drill.HostDrill,
    "host spare": host.HostSpare,
    "host failback": failback.HostFailback,
    "incident list": incident.IncidentList,
    "incident show": incident.IncidentShow,
    "incident export": incident.IncidentExport,
    "incident watch": watch.IncidentWatch,
    "incident approve": incident.IncidentApprove,
    "incident abandon": incident.IncidentAbandon,
    "incident retry": incident.IncidentRetry,
    "incident replay": replay.IncidentReplay,
    "report": report.PeriodReport,
    "brake show": brake.BrakeShow,
    "brake release": brake.BrakeRelease,
    "pause": brake.Pause,
    "resume": brake.Resume,
    "config check": config.ConfigCheck,
    "config expiry": config.ConfigExpiry,
    "config show": config.ConfigShow,
    "config propose": config.ConfigPropose,
    "config rights": config.ConfigRights,
    "config policy": config.ConfigPolicy,
    "journal export": journal.JournalExport,
    "journal import": journal.JournalImport,
    "fence check": fence.FenceCheck,
    "notify test": notify.NotifyTest,
    "fence adopt": fence.FenceAdopt,
    "fence mute": fence.FenceMute,
    "run": run.Run,
    "simulate": simulate.Simulate,
    "demo": demo.Demo,
}


class Shell(App):
    NAME = "hanode"

    def __init__(self, **streams: Any) -> None:
        manager = CommandManager("hanode.cli")
        for name, command in COMMANDS.items():
            manager.add_command(name, command)
        super().__init__(description="Restarts the instances of failed nova-compute hosts. Begin with `hanode status`.",
                         version=hanode.__version__, command_manager=manager, deferred_help=True, **streams)

    def build_option_parser(self, description: str | None, version: str | None,
                            argparse_kwargs: dict[str, Any] | None = None) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().build_option_parser(description, version, {"prog": self.NAME, **(argparse_kwargs or {})})
        return parser

    def configure_logging(self) -> None:
        """Commands print, and `hanode run` sets oslo.log up by its configuration."""


def main(argv: Sequence[str] | None = None, **streams: Any) -> int:
    # Libraries import eventlet where it is installed, as it is beside oslo.messaging; nothing here runs on it.
    warnings.filterwarnings("ignore", r"\s*Eventlet is deprecated")
    arguments = list(sys.argv[1:] if argv is None else argv)
    return int(Shell(**streams).run(arguments or ["--help"]))
