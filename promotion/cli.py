"""The command line. Exit codes: 0 done, 1 refused or failed, 2 usage, 3 still waiting."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from promotion import __version__, log
from promotion.commands import check, control, copy, keygen, latest, promote, publish, status
from promotion.errors import PromotionError
from promotion.readable import readable


def run() -> None:
    """Run the command that the process's arguments name, and exit."""
    sys.exit(main(sys.argv[1:], os.environ))


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    log.configure(log.ReadableFormatter(), environment.get("LOG_LEVEL", "WARNING"))
    # What it has to say about a machine without Google credentials is said by the command itself.
    logging.getLogger("google.auth").setLevel(logging.ERROR)
    try:
        return options.command(options, environment) or 0
    except PromotionError as error:
        print(f"promotion: {readable(str(error))}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="promotion",
        description="Moves a tested container image to the next stage.",
        epilog="exit codes: 0 done; 1 refused or failed, standard error says why; 2 usage;"
        " 3 still waiting (status --exit-code)",
    )
    parser.add_argument("--version", action="version", version=f"promotion {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (promote, copy, publish, status, latest, check, keygen, control):
        command.add(commands)
    return parser
