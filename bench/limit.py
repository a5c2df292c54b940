"""A registry that allows so many requests a second: how near to its limit, and how often beyond.

    python -m bench.limit [--limit N] [--images N] [--instances N ...]          (or: make load)

Each row is a run of its own: so many images get ten results each, and are promoted, through so many
instances of the function. The limit is in force from the first message on; it allows no more than N
requests in any second, and is the same for all instances, which do not know of each other.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from bench.deliveries import deliver
from bench.instances import new_folder
from bench.limited import limited_registry
from bench.load import Place, push, results
from dev.services import function_server
from dev.stack import ROOT


def main() -> int:
    """Print the table."""
    options = _parser().parse_args()
    # So that all that was started ends with this, also when a time-out ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"a registry that allows {options.limit} requests a second")
    print(f"{'instances':>9}{'wall s':>8}{'answered':>10}{'a second':>10}", end="")
    print(f"{'refused':>9}{'%':>7}{'again':>7}")
    for instances in options.instances:
        with tempfile.TemporaryDirectory(prefix="promotion-limit-") as folder:
            _run(options.limit, options.images, instances, Path(folder))
    return 0


def _run(limit: int, images: int, instances: int, folder: Path) -> None:
    """Print a row."""
    with limited_registry(folder / "limited", limit) as registry, ExitStack() as running:
        place = Place(registry.host, "limited")
        pushed = push(place, images, images)
        configuration = folder / "limited.yaml"
        configuration.write_text(place.configuration(folder), encoding="utf-8")
        environment = {"PROMOTION_CONFIG": str(configuration), "LOG_LEVEL": "WARNING"}
        functions = [
            running.enter_context(function_server(ROOT, environment, new_folder(folder, number)))
            for number in range(instances)
        ]
        registry.begin()
        taken = deliver(results(pushed), [each.url for each in functions])
        statuses: Counter[int] = Counter(registry.statuses)
    refused = statuses.pop(429, 0)
    answered = statuses.total()
    print(
        f"{instances:9}{taken.wall:8.1f}{answered:10,}{answered / taken.wall:10.1f}"
        f"{refused:9,}{100 * refused / (answered + refused):7.1f}{taken.again:7}",
        flush=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.limit")
    add = parser.add_argument
    add("--limit", type=int, default=50, metavar="N", help="requests a second; default: 50")
    add("--images", type=int, default=3, metavar="N", help="images; default: 3")
    add("--instances", type=int, nargs="+", default=[1, 4], metavar="N", help="default: 1 4")
    return parser


if __name__ == "__main__":
    sys.exit(main())
