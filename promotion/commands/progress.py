"""A copy's progress on a terminal: a line for each blob that travels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from promotion.registry.manifest import Blob
from promotion.registry.reference import Digest
from promotion.registry.report import BlobReport, Watcher


@contextmanager
def shown() -> Iterator[Watcher]:
    """Show progress on standard error while the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Shown(progress)


class _Shown:
    """Turns what happens to blobs into lines."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = Lock()
        self._lines: dict[Digest, TaskID] = {}

    def began(self, blob: Blob) -> None:
        with self._lock:
            if blob.digest in self._lines:
                self._progress.reset(self._lines[blob.digest])
            else:
                name = f"{blob.digest.partition(':')[2][:12]}"
                self._lines[blob.digest] = self._progress.add_task(name, total=blob.size)

    def advanced(self, blob: Blob, count: int) -> None:
        self._progress.advance(self._lines[blob.digest], count)

    def finished(self, report: BlobReport) -> None:
        line = self._lines.get(report.digest)
        if line is None:
            short = report.digest.partition(":")[2][:12]
            self._progress.console.print(f"{short}  {report.way.value}", highlight=False)
        else:
            self._progress.update(line, completed=report.size)
