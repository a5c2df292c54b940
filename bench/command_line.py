"""The command from its start to its end, beside skopeo: how far apart does a registry have to be?

    python -m bench.command_line [--runs N] [--layers N] [--round-trip MS …]
    make bench-cli                                                (the same, without options)

Both copy the same small image, named by digest, to a repository of the same docker-registry that
has never seen it, so that blobs are mounted; they take turns, each in a new home, and the result of
every copy is looked at. Without a round trip they speak to the registry itself; with one, to a
proxy before it, which adds so many milliseconds to each request and each new connection.

Below the copies stands what no copy can do without: to start Python, and to load what it needs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

from bench.cases import CASES, Measurement, measure
from bench.cost import NotMeasured
from bench.peers import OURS, Command, peers
from bench.places import Places, behind_proxies, without_proxies
from bench.rounds import rounds
from dev.services import MissingPart, ServiceFailed

SKOPEO = "skopeo"

_MOUNT = next(case for case in CASES if case.name == "mount")
_STARTS = {
    "python -c ''": ["-c", ""],
    "  and urllib3": ["-c", "import urllib3"],
    "  and urllib3, msgspec, argparse, logging": [
        "-c",
        "import urllib3, msgspec, argparse, logging",
    ],
    "promotion --version": ["-m", "promotion", "--version"],
}


@dataclass(frozen=True)
class Pair:
    """What both took at one distance, in milliseconds: the medians, and the extremes.

    Attributes:
        round_trip: Milliseconds that each request takes longer.
    """

    round_trip: float
    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ahead(self) -> float:
        """By how many milliseconds the command is sooner done than skopeo."""
        return median(self.theirs) - median(self.ours)

    def row(self) -> str:
        """A line of the table."""
        ratio = median(self.ours) / median(self.theirs)
        return f"{self.round_trip:>7g} ms {_spread(self.ours)} {_spread(self.theirs)} {ratio:>8.2f}"


def equal_at(pairs: Sequence[Pair]) -> float | None:
    """The round trip at which both take as long, between two that were measured, if any."""
    for near, far in pairwise(pairs):
        if near.ahead < 0 <= far.ahead:
            share = near.ahead / (near.ahead - far.ahead)
            return near.round_trip + share * (far.round_trip - near.round_trip)
    return None


def compare(folder: Path, milliseconds: float, layers: int, runs: int) -> Pair:
    """Let both copy at this distance.

    Raises:
        NotMeasured: One of them did not.
    """
    skopeo = [peer for peer in peers() if peer.name == SKOPEO]
    with _places(folder, milliseconds) as places:
        task = partial(measure, _MOUNT, places, layers)
        measured = list(rounds([OURS, *skopeo], runs, task))
    ours, theirs = _walls(measured, OURS.name), _walls(measured, SKOPEO)
    if not ours or not theirs:
        raise NotMeasured("both have to copy: is skopeo installed?")
    return Pair(milliseconds, ours, theirs)


def starts(runs: int) -> Iterator[str]:
    """What it takes to start, a line each."""
    for title, arguments in _STARTS.items():
        program = Command(title, _starting(arguments))
        walls = [program.copy("", "").wall * 1000 for _ in range(runs + 1)][1:]
        yield f"{title:<42} {_spread(walls)}"


def _starting(arguments: list[str]) -> Callable[[str, str], list[str]]:
    return lambda _, __: [sys.executable, *arguments]


def _places(folder: Path, milliseconds: float) -> AbstractContextManager[Places]:
    return behind_proxies(folder, milliseconds / 1000) if milliseconds else without_proxies(folder)


def _walls(measured: Sequence[Measurement], name: str) -> list[float]:
    return [each.cost.wall * 1000 for each in measured if each.contestant == name]


def _spread(walls: Sequence[float]) -> str:
    return f"{median(walls):>7.0f} ({min(walls):.0f} – {max(walls):.0f})".ljust(22)


def _measure(options: argparse.Namespace) -> None:
    title = f"an image of {options.layers} layers, mounted; medians of {options.runs} runs, ms"
    print(f"{title}\n\n{'apart':>10} {'  promotion':<22} {'  skopeo':<22} {'ratio':>8}")
    pairs = []
    for milliseconds in sorted(options.round_trip):
        with tempfile.TemporaryDirectory(prefix="promotion-bench-") as folder:
            pairs.append(compare(Path(folder), milliseconds, options.layers, options.runs))
        print(pairs[-1].row(), flush=True)
    equal = equal_at(pairs)
    if equal is not None:
        print(f"\nboth take as long where a request takes {equal:.1f} ms")
    print()
    for line in starts(options.runs):
        print(line)


def main() -> int:
    """Print the table; 1 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.command_line")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--layers", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--round-trip",
        type=float,
        nargs="+",
        default=[0, 2, 5, 10, 20],
        metavar="MS",
        help="added to each request and each connection; default: 0 2 5 10 20",
    )
    try:
        _measure(parser.parse_args())
    except (MissingPart, ServiceFailed, NotMeasured, OSError) as error:
        print(f"Not measured: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Not measured: interrupted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
