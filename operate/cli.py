"""The operator's commands, as the Makefile calls them. Exit codes: 0 done, 1 failed, 2 usage."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from operate import commands
from promotion import log
from promotion.errors import PromotionError
from promotion.readable import readable


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    log.configure(log.ReadableFormatter(), environment.get("LOG_LEVEL", "WARNING"))
    try:
        command: Callable[[argparse.Namespace, Mapping[str, str]], int] = options.command
        return command(options, environment)
    except PromotionError as error:
        print(f"make {options.target}: {readable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run() -> None:
    """Run the command that the process's arguments name, and exit."""
    # What is temporary is removed on the way out, also when the process is told to end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:], os.environ))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m operate", description=__doc__)
    targets = parser.add_subparsers(required=True, metavar="COMMAND", dest="target")

    bootstrap = _target(targets, "bootstrap", commands.bootstrap, "make the state's bucket")
    bootstrap.add_argument("--region", required=True)
    for verb, purpose in (
        ("plan", "show what deploy would change"),
        ("deploy", "create or change the deployment"),
        ("destroy", "take the deployment away"),
    ):
        change = _target(targets, verb, commands.change, purpose)
        change.add_argument("--region", required=True)
        change.add_argument("--config", type=Path, default=Path("promotion.yaml"))
        change.add_argument("--vars", type=Path, help="a .tfvars file for the module")
        change.add_argument("--arguments", default="", help="further arguments for Terraform")

    logs = _target(targets, "logs", commands.logs, "show what the functions have logged")
    logs.add_argument("--since", default="1h", help="how far back: 30m, 2h, 1d")
    logs.add_argument("--filter", default="", help="a condition, in Cloud Logging's language")
    logs.add_argument("--follow", action="store_true", help="go on until Ctrl-C")

    replay = _target(targets, "replay-dead-letters", commands.replay, "take dead letters back")
    replay.add_argument("--outputs", type=Path, help="what `terraform output -json` has printed")
    replay.add_argument("--all", action="store_true", help="also those that are permanent")
    replay.add_argument("--dry-run", action="store_true", help="show what would become of each")
    replay.add_argument("--limit", type=int, default=1000, help="how many are looked at")
    replay.add_argument(
        "--quiet-seconds", type=float, default=10.0, help="there are no more when none comes"
    )

    smoke = _target(targets, "smoke", commands.smoke, "send an image through the deployment")
    smoke.add_argument("--outputs", type=Path, help="what `terraform output -json` has printed")
    smoke.add_argument("--config", type=Path, default=Path("promotion.yaml"))
    smoke.add_argument("--pipeline", default="", help="default: the first")
    smoke.add_argument("--version", default="", help="a tag that the gate lets pass")
    smoke.add_argument("--ref", default="", help="a git ref that the gate lets pass")
    smoke.add_argument("--timeout", type=float, default=300.0, help="seconds for the service")
    return parser


def _target(
    targets: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace, Mapping[str, str]], int],
    purpose: str,
) -> argparse.ArgumentParser:
    """A command, with what all of them need to know."""
    target = targets.add_parser(name, help=purpose)
    target.add_argument("--project", required=True)
    target.add_argument("--state-bucket", default="", help="default: PROJECT-promotion-state")
    target.add_argument("--state-prefix", default="promotion", help="for several in one project")
    target.add_argument("--terraform", default="terraform", help="the command that is Terraform")
    target.set_defaults(command=command)
    return target
