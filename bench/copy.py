"""The copy, side by side: this product, warm and cold, beside the tools that people use today.

    python -m bench.copy [--case NAME] [--rtt MS] [--layers N] [--runs N] [--images N]
                         [--large-layers N] [--json FILE] [--compare FILE] [--folder FOLDER]
    make bench                                                    (the same, without options)

Two real registries on this machine, each behind a proxy that counts requests and adds a round-trip
time to every request and every new connection. Each copy is of an image of its own to a repository
of its own, and is looked at afterwards; contestants take turns, and the first round does not count.

"Warm" is a process that copies again and again, as the function does; all others are started for
each copy, in a new home, so without caches. Skopeo, crane, oras and regctl are measured where they
are found, but not at what they leave behind: referrers and signatures. Requests that look for those
are counted apart. Memory is read from Linux's /proc.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from bench import many, table, throughput
from bench.cases import CASES, Case, Measurement, measure
from bench.cost import NotMeasured
from bench.many import Batch, measure_many
from bench.peers import OURS, OURS_BY_TAG, Contestant, peers
from bench.places import behind_proxies
from bench.rounds import rounds
from bench.throughput import measure_throughput
from bench.warm import warm
from dev.services import MissingPart, ServiceFailed
from promotion.errors import PromotionError

NAMES = (*(case.name for case in CASES), throughput.NAME, many.NAME)


@dataclass(frozen=True)
class Settings:
    """What is measured, and how."""

    cases: tuple[str, ...]
    milliseconds: float
    layers: int
    runs: int
    images: int
    large_layers: int = throughput.LAYERS


@dataclass(frozen=True)
class Report:
    """All raw figures."""

    machine: str
    settings: Settings
    measurements: list[Measurement]
    batches: list[Batch]


def report(settings: Settings, folder: Path) -> Report:
    """Measure what was asked for, and print each table when its figures are there."""
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    machine = f"{machine}, {os.cpu_count()} CPUs"
    print(f"Copies on {machine}; medians of {settings.runs} runs\n")
    measurements: list[Measurement] = []
    cases = [case for case in CASES if case.name in settings.cases]
    if cases:
        measurements += _cases(cases, settings, folder / "cases")
    if throughput.NAME in settings.cases:
        measurements += _throughput(settings, folder / throughput.NAME)
    batches = _many(settings, folder / many.NAME) if many.NAME in settings.cases else []
    return Report(machine, settings, measurements, batches)


def _cases(cases: Sequence[Case], settings: Settings, folder: Path) -> list[Measurement]:
    print(f"{settings.milliseconds:g} ms for each request and each new connection\n")
    measurements: list[Measurement] = []
    with behind_proxies(folder, settings.milliseconds / 1000) as places, warm() as process:
        for case in cases:
            task = partial(measure, case, places, settings.layers)
            contestants = (process, OURS, OURS_BY_TAG)
            others = () if case.attached else peers()
            measurements += rounds((*contestants, *others), settings.runs, task)
            _print(table.case_table(case, settings.layers, measurements))
    return measurements


def _throughput(settings: Settings, folder: Path) -> list[Measurement]:
    with warm() as process:
        contestants: tuple[Contestant, ...] = (process, OURS, *peers())
        measurements = list(
            measure_throughput(contestants, folder, settings.runs, settings.large_layers)
        )
    _print(table.throughput_table(settings.large_layers, measurements))
    return measurements


def _many(settings: Settings, folder: Path) -> list[Batch]:
    batches = list(measure_many(settings.images, settings.layers, folder))
    _print(table.many_table(batches))
    return batches


def _print(lines: Iterable[str]) -> None:
    print("\n".join(lines), end="\n\n", flush=True)


def _measure_and_write(options: argparse.Namespace) -> None:
    other = (
        msgspec.json.decode(options.compare.read_bytes(), type=Report) if options.compare else None
    )
    settings = Settings(
        tuple(options.case or NAMES),
        options.rtt,
        options.layers,
        options.runs,
        options.images,
        options.large_layers,
    )
    with tempfile.TemporaryDirectory(prefix="promotion-bench-", dir=options.folder) as folder:
        measured = report(settings, Path(folder))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2))
    if other:
        print(f"there: {other.machine}, {other.settings}\nhere:  {measured.machine}, {settings}\n")
        _print(table.comparison(other.measurements, measured.measurements))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.copy")
    add = parser.add_argument
    add("--case", action="append", choices=NAMES, help="measure this one; may be repeated")
    add(
        "--throughput",
        action="append_const",
        dest="case",
        const=throughput.NAME,
        help="short for --case throughput",
    )
    add("--rtt", type=float, default=20, metavar="MS", help="added to each request; default: 20")
    add("--layers", type=_positive, default=10, metavar="N", help="of an image; default: 10")
    add("--runs", type=_positive, default=5, metavar="N", help="default: 5")
    add(
        "--images",
        type=_positive,
        default=1000,
        metavar="N",
        help="of the case many; default: 1000",
    )
    add(
        "--large-layers",
        type=_positive,
        default=throughput.LAYERS,
        metavar="N",
        help=f"of the case throughput; default: {throughput.LAYERS}",
    )
    add("--json", type=Path, metavar="FILE", help="write all raw figures there")
    add(
        "--compare",
        type=Path,
        metavar="FILE",
        help="print both; the file is from an earlier --json",
    )
    add(
        "--folder",
        type=Path,
        help="where the registries keep their data; in /dev/shm, the disk does not count",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def main() -> int:
    """Print the tables; 1 if something could not be measured."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _measure_and_write(options)
    except (
        MissingPart,
        ServiceFailed,
        NotMeasured,
        PromotionError,
        OSError,
        msgspec.MsgspecError,
    ) as error:
        print(f"Not measured: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Not measured: interrupted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
