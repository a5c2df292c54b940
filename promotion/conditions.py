"""promotion.yaml in words, for people who want to see what it means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from promotion.pipeline import DatedFreeze, Freeze, Gate, Pipelines, Signing, Stage, Suite

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ORDERS = {
    "minor": "not behind the next stage's versions of the same minor",
    "strict": "not behind any version of the next stage",
    "any": "also behind the next stage's versions",
}


def conditions(gate: Gate) -> list[str]:
    """The conditions of a gate, all of which must hold, each in a few words."""
    return [*_about_the_image(gate), *_about_the_time(gate)]


def of_stage(stage: Stage) -> list[str]:
    """What holds for the images in a stage, each in a few words; its gate's conditions first."""
    return [*(conditions(stage.gate) if stage.gate else ()), *_about_the_stage(stage)]


def of_messages(pipelines: Pipelines) -> list[str]:
    """Which messages count and whose signatures, a line each; nothing of what is not written."""
    said = [
        f"results of {each.name} come through {each.results}"
        for each in pipelines.pipelines
        if each.results
    ]
    if pipelines.signals:
        said.append(f"signals come through {pipelines.signals}")
    if pipelines.signing:
        said.append(_signing(pipelines.signing))
    return said


def duration(time: timedelta) -> str:
    """As promotion.yaml would have it, in the largest unit that fits."""
    seconds = int(time.total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _about_the_stage(stage: Stage) -> Iterator[str]:
    if not stage.auto:
        yield "a person says promote"
    if stage.entry == "any":
        yield "also without a record of how it came in"
    if stage.expect_within is not None:
        yield f"reported when it has waited for {duration(stage.expect_within)}"


def _signing(signing: Signing) -> str:
    # What stands at signing.key may be the key itself, by mistake, and is not to be repeated.
    by = f"the key {signing.kms} signs" if signing.kms else "the key in a file signs"
    if not signing.trusted:
        return f"{by}, and is trusted"
    number = len(signing.trusted)
    return f"{by}; {number} public key{'s are' if number > 1 else ' is'} trusted"


def _about_the_image(gate: Gate) -> Iterator[str]:
    yield from (_suite(suite) for suite in gate.suites)
    if gate.refs:
        yield f"ref {' or '.join(gate.refs)}"
    if gate.versions == "semver":
        yield "a release version (semver)"
    elif gate.versions:
        yield f"a version like {gate.versions}"
    yield _ORDERS[gate.order]


def _about_the_time(gate: Gate) -> Iterator[str]:
    if gate.soak is not None:
        yield _soak(gate, gate.soak)
    if gate.no_alerts:
        yield "no open alert"
    if gate.approvals:
        yield _approvals(gate)
    yield from (_freeze(window) for window in gate.freeze)


def _suite(suite: Suite) -> str:
    where = f" in {suite.stage}" if suite.stage else ""
    through = f", reported through {suite.via}" if suite.via else ""
    return f"{suite.name} succeeded{where}{through}"


def _soak(gate: Gate, soak: timedelta) -> str:
    since = " since its promotion" if gate.soak_from == "promotion" else ""
    alerts = ", anew after every alert" if gate.restart_soak_on_alert else ""
    return f"{duration(soak)} in the stage{since}{alerts}"


def _approvals(gate: Gate) -> str:
    plural = "s" if gate.approvals > 1 else ""
    people = f" of {', '.join(gate.approvers)}" if gate.approvers else ""
    return f"{gate.approvals} approval{plural}{people}"


def _freeze(window: Freeze) -> str:
    if isinstance(window, DatedFreeze):
        begin, end = f"{window.begin:%Y-%m-%d %H:%M}", f"{window.end:%Y-%m-%d %H:%M}"
    else:
        begin = f"{_WEEKDAYS[window.from_weekday]} {window.from_time:%H:%M}"
        end = f"{_WEEKDAYS[window.to_weekday]} {window.to_time:%H:%M}"
    return f"not {begin} to {end} {window.timezone}: {window.reason}"
