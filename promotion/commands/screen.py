"""What commands print for people: tables on a terminal, plain columns elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from promotion.readable import readable

# Wide enough for any row: elsewhere than on a terminal a row is a line, however long.
_UNBOUNDED = 10_000


class Screen:
    """Standard output: colours only on a terminal, and not if NO_COLOR is set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._console = _Console(
            no_color=bool(environment.get("NO_COLOR")), highlight=False, markup=False, emoji=False
        )
        if not self._console.is_terminal:
            self._console.width = _UNBOUNDED

    def show(self, table: Table) -> None:
        """Print a table, without the blanks that would fill its last column."""
        with self._console.capture() as printed:
            self._console.print(table)
        print("\n".join(line.rstrip() for line in printed.get().splitlines()), end="\n\n")

    def say(self, text: str) -> None:
        """Print lines as they are, so that they can be copied."""
        self._console.print(readable(text), soft_wrap=True)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line what it means that nobody reads any more."""
        raise BrokenPipeError


def table_of(*columns: str) -> Table:
    """An empty table with these columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def add_row(table: Table, *cells: str | Text) -> None:
    """Add a row, with nothing in it that a terminal would obey; a cell may have a style."""
    table.add_row(*(_shown(each) for each in cells))


def _shown(cell: str | Text) -> Text:
    if isinstance(cell, str):
        return Text(readable(cell))
    return Text(readable(cell.plain), style=cell.style)
