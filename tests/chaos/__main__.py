"""Plays scenarios, and prints what became of them as a table.

    python -m tests.chaos [SCENARIO …] [--seed N] [--rounds N] [--short]

The exit code is 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dev.services import MissingPart, ServiceFailed
from tests.chaos.catalogue import SCENARIOS
from tests.chaos.course import play
from tests.chaos.scenario import Outcome, Scale, Scenario
from tests.chaos.world import Parts, parts

_HEADINGS = ("scenario", "seed", "rounds", "messages", "deliveries", "faults", "s", "violations")


def main(arguments: Sequence[str] | None = None) -> int:
    """Play; 0 if all that must hold has held."""
    # Whatever is started is ended, also when this is asked to end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = _parser().parse_args(arguments)
    outcomes: list[Outcome] = []
    try:
        with tempfile.TemporaryDirectory(prefix="promotion-chaos-") as folder:
            with parts(Path(folder)) as shared:
                print(f"{_machine()}\n\n{_row(_HEADINGS)}\n{_row(['---'] * len(_HEADINGS))}")
                outcomes += (_played(scenario, asked, shared) for scenario in asked.scenarios)
    except (MissingPart, ServiceFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return int(any(outcome.violations for outcome in outcomes))


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {each.name:<20} {each.summary}" for each in SCENARIOS.values())
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Plays scenarios, and prints what became of them as a table. The exit code is 1"
        " if anything was violated.",
        epilog=f"scenarios:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    everything = list(SCENARIOS.values())
    parser.add_argument(
        "scenarios",
        nargs="*",
        type=_scenario,
        default=everything,
        metavar="SCENARIO",
        help="default: all",
    )
    parser.add_argument("--seed", type=int, default=1, help="repeats what goes wrong; default: 1")
    parser.add_argument("--rounds", type=int, default=0, help="default: the scenario's own number")
    parser.add_argument("--short", action="store_true", help="few rounds and short waits")
    return parser


def _scenario(name: str) -> Scenario:
    if name not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"there is no {name!r}; --help lists all")
    return SCENARIOS[name]


def _played(scenario: Scenario, asked: argparse.Namespace, shared: Parts) -> Outcome:
    short, long = scenario.rounds
    rounds = asked.rounds or (short if asked.short else long)
    outcome = play(scenario, shared, asked.seed, Scale(rounds, not asked.short))
    figures = (outcome.seed, outcome.rounds, outcome.messages, outcome.deliveries, outcome.faults)
    seconds, violated = f"{outcome.seconds:.0f}", len(outcome.violations)
    print(_row([f"`{scenario.name}`", *map(str, figures), seconds, str(violated)]), flush=True)
    for violation in outcome.violations:
        print(f"  {violation}", file=sys.stderr, flush=True)
    return outcome


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
