"""What ``promotion check`` found, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from promotion.commands.screen import add_row, table_of
from promotion.conditions import of_stage
from promotion.inspection import Check, State
from promotion.pipeline import Pipeline, Pipelines

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.ERROR: "bold red"}


def stages_table(pipelines: Pipelines) -> Table:
    """Each stage of each pipeline: where it is, where images go from there, and on what terms."""
    table = table_of("pipeline", "stage", "repository", "promotes to", "gate")
    for pipeline in pipelines.pipelines:
        name = _name(pipeline)
        for stage in pipeline.stages.values():
            targets = ", ".join(stage.promotes_to)
            terms = "\n".join(of_stage(stage))
            add_row(table, name, stage.name, str(stage.repository), targets, terms)
    return table


def checks_table(checks: Sequence[Check]) -> Table:
    """Each check in a row, with the number of its remedy."""
    numbers = {remedy: str(number) for number, remedy in enumerate(_distinct(checks), start=1)}
    table = table_of("state", "subject", "check", "remedy", "found")
    for check in checks:
        state = Text(check.state.value, style=_STYLES[check.state])
        number = numbers.get(check.remedy, "")
        add_row(table, state, check.subject, check.what, number, check.message)
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
