"""The figures as tables: medians, what was aimed at, and two measurements side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench import throughput, warm
from bench.cases import Case, Measurement
from bench.many import Batch

Measurements = Sequence[Measurement]

_LABEL = 60


@dataclass(frozen=True)
class Column:
    """A figure of each measurement, and what the table shows of several: the median, mostly."""

    title: str
    of: Callable[[Measurement], float | None]
    decimals: int = 0
    fold: Callable[[Iterable[float]], float] = median

    def value(self, measurements: Measurements) -> float | None:
        """What is shown; None if no measurement has the figure."""
        values = [value for each in measurements if (value := self.of(each)) is not None]
        return self.fold(values) if values else None

    def cell(self, measurements: Measurements) -> str:
        """The same as text."""
        value = self.value(measurements)
        return "-" if value is None else f"{value:.{self.decimals}f}"


REQUESTS = Column("requests", lambda each: each.traffic.requests if each.traffic else None)
LOOK_UPS = Column("look-ups", lambda each: each.traffic.look_ups if each.traffic else None)
SEQUENTIAL = Column("sequential", lambda each: each.traffic.sequential if each.traffic else None)
CONNECTIONS = Column("connected", lambda each: each.connections)
WALL = Column("wall s", lambda each: each.cost.wall, 3)
SHORTEST = Column("min", lambda each: each.cost.wall, 3, min)
LONGEST = Column("max", lambda each: each.cost.wall, 3, max)
CPU = Column("CPU s", lambda each: each.cost.cpu, 3)
PEAK = Column("peak MiB", lambda each: each.cost.peak, 1)
ABOVE_IDLE = Column(
    "above idle", lambda each: each.cost.peak - each.cost.idle if each.cost.idle else None, 1
)

_CASE_COLUMNS = (REQUESTS, LOOK_UPS, SEQUENTIAL, CONNECTIONS, WALL, SHORTEST, LONGEST, CPU, PEAK)
_COMPARED = (REQUESTS, SEQUENTIAL, WALL, CPU, PEAK)


def case_table(case: Case, layers: int, measurements: Measurements) -> Iterator[str]:
    """A row for each contestant of a case, and whether we do as we aim to."""
    rows = _by_contestant(each for each in measurements if each.case == case.name)
    yield from _table(f"{case.title}, N = {case.blobs(layers)}", _CASE_COLUMNS, rows)
    aim = case.aim(layers)
    ours = rows.get(warm.NAME, [])
    met = (REQUESTS.value(ours) or 0) <= aim.requests
    met = met and (SEQUENTIAL.value(ours) or 0) <= aim.sequential
    verdict = "met" if ours and met else "not met"
    yield f"  aim, warm: ≤ {aim.requests} requests, ≤ {aim.sequential} sequential: {verdict}"


def throughput_table(layers: int, measurements: Measurements) -> Iterator[str]:
    """A row for each contestant, and how we compare with the fastest of the others."""
    rows = _by_contestant(each for each in measurements if each.case == throughput.NAME)
    gibibytes = layers * throughput.LAYER_BYTES / 2**30
    rate = Column("CPU s/GiB", lambda each: each.cost.cpu / gibibytes, 2)
    columns = (WALL, SHORTEST, LONGEST, rate, PEAK, ABOVE_IDLE)
    size = f"{layers} layers of {throughput.LAYER_BYTES // 2**20} MiB"
    yield from _table(f"two registries, {size}, no proxy", columns, rows)
    walls = {name: WALL.value(own) or 0.0 for name, own in rows.items()}
    peers = [name for name in walls if not name.startswith("promotion")]
    if peers:
        fastest = min(peers, key=walls.__getitem__)
        for name in sorted(walls.keys() - peers):
            yield f"  {name} ÷ {fastest}: {walls[name] / walls[fastest]:.2f}, aim: ≤ 1.00"


def many_table(batches: Sequence[Batch]) -> Iterator[str]:
    """A row for each batch, so that what grows is seen to grow."""
    titles = ("requests", "made", "open", "peak MiB", "ms/image", "CPU ms/image")
    yield _row(f"{sum(b.images for b in batches)} images, one process, one registry", titles, 14)
    done = 0
    for batch in batches:
        done += batch.images
        cells = (
            f"{batch.requests / batch.images:.2f}/image",
            f"{batch.made}",
            f"{batch.open}",
            f"{batch.cost.peak:.1f}",
            f"{batch.cost.wall / batch.images * 1000:.1f}",
            f"{batch.cost.cpu / batch.images * 1000:.1f}",
        )
        yield _row(f"  the first {done}", cells, 14)
    if batches[2:]:
        growth = batches[-1].cost.peak - batches[1].cost.peak
        yield f"  memory, from the second row to the last: {growth:+.1f} MiB"


def comparison(before: Measurements, now: Measurements) -> Iterator[str]:
    """The medians of two reports, there and here, of what is in both."""
    yield _row("compared: there → here", [column.title for column in _COMPARED], 18)
    there = _by_case(before)
    for (case, contestant), here in _by_case(now).items():
        other = there.get((case, contestant))
        if other:
            cells = [f"{column.cell(other)} → {column.cell(here)}" for column in _COMPARED]
            yield _row(f"  {case}: {contestant}", cells, 18)


def _table(
    title: str, columns: Sequence[Column], rows: dict[str, list[Measurement]]
) -> Iterator[str]:
    yield _row(title, [column.title for column in columns])
    for name, own in rows.items():
        yield _row(f"  {name}", [column.cell(own) for column in columns])


def _row(label: str, cells: Iterable[str], width: int = 11) -> str:
    return f"{label:<{_LABEL}}" + "".join(f"{cell:>{width}}" for cell in cells)


def _by_contestant(measurements: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    rows: dict[str, list[Measurement]] = {}
    for each in measurements:
        rows.setdefault(each.contestant, []).append(each)
    return rows


def _by_case(measurements: Measurements) -> dict[tuple[str, str], list[Measurement]]:
    rows: dict[tuple[str, str], list[Measurement]] = {}
    for each in measurements:
        rows.setdefault((each.case, each.contestant), []).append(each)
    return rows
