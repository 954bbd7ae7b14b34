"""`hanode config`: is the configuration right, what is in force, and what could it begin with?"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from hanode.cli import proposal
from hanode.cli.base import OK, REFUSED, Act, Rows
from hanode.cli.checkup import Severity
from hanode.conf import build
from hanode.conf.effective import effective


class ConfigCheck(Rows):
    """Check configuration, cloud and journal before the first start, and whenever wanted. Changes nothing.

    Needs no daemon. Exit code 0: no error (warnings and things to know may be listed). 1: an error is listed.
    """

    example = "  hanode config check\n  hanode config check -f json\n  hanode config check -f value -c severity -c what"

    def run(self, parsed_args: argparse.Namespace) -> int:
        self._failed = False
        return super().run(parsed_args) or (REFUSED if self._failed else OK)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[tuple[str, ...]]]:
        from hanode.cli import survey  # imports the OpenStack SDK, which the other commands need not wait for

        found = survey.findings(parsed_args.config_file)
        self._failed = any(finding.severity is Severity.ERROR for finding in found)
        return ("severity", "what", "why", "remedy"), [(str(f.severity), f.what, f.why, f.remedy) for f in found]


class ConfigExpiry(Rows):
    """Show what runs out one day, and when: passwords, credentials and certificates of this controller, Keystone, etcd and power devices.

    The leader looks once a day as well: metric hanode_credential_expires_seconds, alert HanodeCredentialExpires. Needs no daemon.
    """

    example = "  hanode config expiry\n  hanode config expiry -f json\n  hanode config expiry -f value -c days -c what -c where"

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[tuple[str, ...]]]:
        from hanode.cli import survey  # as above
        from hanode.cli.expiry import left_days

        found, now = survey.expiries(parsed_args.config_file), datetime.now(UTC)
        rows = [(f.what, f.where, f"{f.at:%Y-%m-%dT%H:%M:%SZ}" if f.at else "", f"{left_days(f.at, now):.0f}" if f.at else "",
                 f.unknown or ("" if f.at else "never")) for f in found]
        return ("what", "where", "expires", "days", "note"), rows


class ConfigShow(Rows):
    """Show what the files say; with --effective every option, its value and where that comes from. Secrets are masked."""

    example = "  hanode config show --effective\n  hanode config show -f json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--effective", action="store_true", help="also the options that no file mentions")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[tuple[str, ...]]]:
        lines = effective(build.load(parsed_args.config_file))
        rows = [(line.group, line.option, line.value, line.source) for line in lines if line.is_written or parsed_args.effective]
        return ("group", "option", "value", "from"), rows


class ConfigPropose(Act):
    """Read Nova and write a draft of hanode.conf, or with --fencing of fencing.yaml, to stdout. Changes nothing.

    Only group [keystone] need be filled in. The draft observes only, and leaves to you what no API can tell.
    """

    example = "  hanode config propose > hanode.conf.draft\n  hanode config propose --fencing > fencing.yaml.draft"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--fencing", action="store_true", help="a draft of fencing.yaml instead")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from hanode.daemon import open_cloud, read_devices  # as above

        settings = build.load(parsed_args.config_file)
        with build.naming_files(settings):
            cloud = open_cloud(settings)
        fleet = cloud.read_fleet()
        if parsed_args.fencing:
            draft = proposal.fencing_draft(fleet, read_devices(settings).hosts)
        else:
            servers = [server for host in sorted(fleet.hosts) for server in cloud.read_servers(host)]
            draft = proposal.conf_draft(fleet, servers, cloud.read_skip_images(), build.policy(settings))
        print(draft, end="", file=self.app.stdout)
        return OK


class ConfigRights(Rows):
    """List the calls that hanode makes to Nova, Placement and Glance, with the rules of their policies that allow them."""

    example = "  hanode config rights\n  hanode config rights -f json"

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[tuple[str, ...]]]:  # noqa: ARG002 - cliff's
        from hanode.adapters.rights import RIGHTS

        return ("service", "method", "path", "rules"), [(r.service, r.method, r.path, " ".join(r.rules)) for r in RIGHTS]


class ConfigPolicy(Act):
    """Write policy rules by which a user without the role admin may do what hanode does, and nothing else.

    For Nova, give all rules of your release on standard input. Put the result into the service's policy.d directory.
    """

    example = ("  oslopolicy-sample-generator --namespace nova | hanode config policy nova --role hanode > /etc/nova/policy.d/hanode.yaml\n"
               "  hanode config policy placement --role hanode > /etc/placement/policy.d/hanode.yaml\n"
               "  hanode config policy glance --role hanode > /etc/glance/policy.d/hanode.yaml")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("service", choices=("nova", "placement", "glance"), help="whose rules")
        parser.add_argument("--role", metavar="ROLE", type=_role, default="hanode", help="the role of hanode's user (default hanode)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from hanode.adapters import rights

        role, service = parsed_args.role, parsed_args.service
        simple = {"placement": rights.policy_of_placement, "glance": rights.policy_of_glance}
        lines = simple[service](role) if service in simple else rights.policy_of_nova(role, self.app.stdin.read())
        print("\n".join(lines), file=self.app.stdout)
        return OK


def _role(text: str) -> str:
    """A role that is written into rules: no quotes, no operators."""
    if re.fullmatch(r"[A-Za-z0-9_.-]+", text) is None or text == "admin":
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a role of its own (letters, digits, '_', '.', '-')")
    return text
