"""What promotion.yaml can ask for, and nothing would ever judge."""

from __future__ import annotations

from collections.abc import Iterator

from promotion.errors import BadConfiguration
from promotion.pipeline import Pipeline, Pipelines, Stage


def check_supported(pipelines: Pipelines) -> None:
    """Refuse a configuration with conditions that nothing would ever judge.

    Raises:
        BadConfiguration: It has such; the text has a line for each such key.
    """
    if pipelines.signals:
        return
    problems = [
        f"promotion.yaml: pipelines.{pipeline.name}.stages.{stage.name}.gate.{problem}"
        for pipeline in pipelines.pipelines
        for stage in pipeline.stages.values()
        for problem in _never_judged(pipeline, stage)
    ]
    if problems:
        raise BadConfiguration("\n".join(problems))


def _never_judged(pipeline: Pipeline, stage: Stage) -> Iterator[str]:
    """What depends on messages that come through signals, where there is no such subscription."""
    if stage.gate is None:
        return
    if not pipeline.suites_up_to(stage):
        yield "suites: without suites nothing is judged but by signals; name their subscription"
    if stage.gate.no_alerts:
        yield "alerts: alerts come through signals; name their subscription"
