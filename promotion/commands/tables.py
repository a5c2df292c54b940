"""What ``promotion check`` found, as tables on a terminal and as plain columns elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from promotion.conditions import conditions
from promotion.inspection import Check, State
from promotion.pipeline import Pipeline, Pipelines

# Wide enough for any row: elsewhere than on a terminal a row is a line, however long.
_UNBOUNDED = 10_000

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.ERROR: "bold red"}


class Screen:
    """Standard output: colours only on a terminal, and not if NO_COLOR is set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._console = Console(
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
        self._console.print(text, soft_wrap=True)


def stages_table(pipelines: Pipelines) -> Table:
    """Each stage of each pipeline: where it is, where images go from there, and on what terms."""
    table = _table("pipeline", "stage", "repository", "promotes to", "gate")
    for pipeline in pipelines.pipelines:
        name = _name(pipeline)
        for stage in pipeline.stages.values():
            gate = "\n".join(conditions(stage.gate)) if stage.gate else ""
            targets = ", ".join(stage.promotes_to)
            table.add_row(name, stage.name, str(stage.repository), targets, gate)
    return table


def checks_table(checks: Sequence[Check]) -> Table:
    """Each check in a row, with the number of its remedy."""
    numbers = {remedy: str(number) for number, remedy in enumerate(_distinct(checks), start=1)}
    table = _table("state", "subject", "check", "remedy", "found")
    for check in checks:
        state = Text(check.state.value, style=_STYLES[check.state])
        number = numbers.get(check.remedy, "")
        table.add_row(state, check.subject, check.what, number, check.message)
    return table


def remedies(checks: Sequence[Check]) -> str:
    """The remedies with their numbers: not in the table, whose cells break what is long."""
    return "\n".join(
        f"{number:>2}  {remedy.strip()}".replace("\n", "\n    ")
        for number, remedy in enumerate(_distinct(checks), start=1)
    )


def shown(checks: Sequence[Check]) -> list[Check]:
    """Where something is wrong, what is not as it should be; else all that was checked."""
    if not any(check.state is State.ERROR for check in checks):
        return list(checks)
    return [check for check in checks if check.state is not State.OK]


def _name(pipeline: Pipeline) -> str:
    return f"{pipeline.name} (observed)" if pipeline.observed else pipeline.name


def _distinct(checks: Sequence[Check]) -> list[str]:
    return list(dict.fromkeys(check.remedy for check in checks if check.remedy))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
