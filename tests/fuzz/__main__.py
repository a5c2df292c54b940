"""The long form of fuzzing: all targets in turn until the time is up, and a table of it.

    SEED=7 python -m tests.fuzz --seconds 600

The same seed leads to the same inputs, in the same order: of more time, only more of them.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
import time
import traceback
from dataclasses import dataclass

from tests.fuzz.exploring import chosen_seed, explore
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

_A_ROUND = 200


@dataclass
class Record:
    """What has become of one target so far."""

    target: Target
    examples: int = 0
    seconds: float = 0.0
    failure: str = ""

    def go_on(self, from_seed: int) -> None:
        """Check it with some more inputs, unless it has failed already."""
        if self.failure:
            return
        began = time.monotonic()
        try:
            self.examples += explore(self.target, _A_ROUND, from_seed)
        except Exception as error:
            traceback.print_exc()
            self.failure = f"{type(error).__name__} (SEED={from_seed})"
        self.seconds += time.monotonic() - began


def run(seconds: float, first_seed: int) -> list[Record]:
    """Check all targets in turn, each round from the next seed, for so long."""
    records = [Record(target) for target in TARGETS]
    until = time.monotonic() + seconds
    round_seed = first_seed
    while time.monotonic() < until and not all(each.failure for each in records):
        for record in records:
            if time.monotonic() < until:
                record.go_on(round_seed)
        round_seed += 1
    return records


def table(records: list[Record]) -> str:
    """The records, as a page shows them."""
    rows = [
        f"| {each.target.name} | {each.examples:,} | {each.seconds:.0f} |"
        f" {each.failure or 'none'} |"
        for each in records
    ]
    return "\n".join(("| target | inputs | seconds | failures |", "|---|---|---|---|", *rows))


def main() -> None:
    """Fuzz for a while; the status is 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="default: ten minutes")
    arguments = parser.parse_args()
    # What the product logs of each input is no part of the table.
    logging.getLogger().addHandler(logging.NullHandler())
    seed = chosen_seed()
    print(f"fuzzing for {arguments.seconds:.0f} s …", file=sys.stderr)
    records = run(arguments.seconds, seed)
    print(table(records))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"\nSEED={seed}, {arguments.seconds:.0f} s; {machine}")
    sys.exit(any(each.failure for each in records))


if __name__ == "__main__":
    main()
