"""Reads promotion.yaml: what is written there becomes pipelines, if what must hold of it does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from promotion import document, typed
from promotion.document import Document, KeyPath
from promotion.errors import BadConfiguration, BadReference
from promotion.pipeline import (
    DatedFreeze,
    Freeze,
    Gate,
    Pipeline,
    Pipelines,
    Signing,
    Stage,
    Suite,
    WeeklyFreeze,
)
from promotion.registry.reference import Repository
from promotion.written import (
    DATE_AND_TIME,
    DURATION,
    KEY_VERSION,
    MOMENT,
    SUBSCRIPTION,
    WEEKDAYS,
    FreezeWritten,
    GateWritten,
    PipelinesWritten,
    PipelineWritten,
    SigningWritten,
    StageWritten,
    SuiteWritten,
    Written,
)

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_PLAINLY = {
    "Expected `object`, got `null`": "nothing is written here",
    "Expected `object` of length >= 1": "there is none; write one at least",
}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def load(path: Path) -> Pipelines:
    """Read and check promotion.yaml.

    Raises:
        BadConfiguration: It cannot be read or is wrong; the text has a line for each problem, with
            file, line and key.
    """
    return parse(str(path), read(path))


def read(path: Path) -> str:
    """The text of a promotion.yaml, as it is: its digest is that of the file.

    Raises:
        BadConfiguration: It cannot be read.
    """
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(
            f"The configuration {path} cannot be read: {getattr(error, 'strerror', None) or error};"
            " write one, or let PROMOTION_CONFIG name it"
        ) from error


def parse(name: str, text: str) -> Pipelines:
    """Check the text of a promotion.yaml; the name is for error texts.

    Raises:
        BadConfiguration: As for ``load``.
    """
    source = document.read(name, text)
    written = _convert(source)
    checker = _Checker(source)
    pipelines = [checker.pipeline(name, pipeline) for name, pipeline in written.pipelines.items()]
    checker.repositories_apart(pipelines)
    result = Pipelines(
        pipelines,
        checker.matching(SUBSCRIPTION, written.signals, ("signals",)),
        checker.signing(written.signing) if written.signing is not UNSET else None,
    )
    _raise_if(checker.problems)
    return result


def duration(text: str) -> timedelta:
    """The length of time that a number and a unit stand for.

    Raises:
        ValueError: They are something else, or longer than any that can be reckoned with.
    """
    match = DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write 90s, 30m, 4h or 2d")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as error:
        raise ValueError(f"{text!r} is longer than any time that can be reckoned with") from error


def _raise_if(problems: list[str]) -> None:
    if problems:
        raise BadConfiguration("\n".join(problems))


def _convert(source: Document) -> PipelinesWritten:
    """Give the document its types, the innermost parts first, so that each problem has its key."""
    pipelines = _mapping(source.data, "pipelines")
    stages: dict[KeyPath, Any] = {
        ("pipelines", pipeline, "stages", name): stage
        for pipeline, content in pipelines.items()
        for name, stage in _mapping(content, "stages").items()
    }
    _raise_if(_problems(source, stages, StageWritten))
    of_pipelines: dict[KeyPath, Any] = {
        ("pipelines", name): pipeline for name, pipeline in pipelines.items()
    }
    _raise_if(_problems(source, of_pipelines, PipelineWritten))
    _raise_if(_problems(source, {(): source.data}, PipelinesWritten))
    return typed.convert(source.data, PipelinesWritten)


def _problems(source: Document, parts: Mapping[KeyPath, Any], kind: type[Written]) -> list[str]:
    problems = []
    for path, part in parts.items():
        try:
            typed.convert(part, kind)
        except msgspec.ValidationError as error:
            place, problem = _explained(error, path)
            problems.append(f"{source.place(place)}: {problem}")
    return problems


def _explained(error: msgspec.ValidationError, path: KeyPath) -> tuple[KeyPath, str]:
    """Where a problem is and what it is, taken apart from msgspec's text."""
    problem, _, below = str(error).partition(" - at `$")
    steps = re.findall(r"\.(\w+)|\[(\d+)\]", below.rstrip("`"))
    place = (*path, *(key if key else int(position) for key, position in steps))
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", problem):
        key = unknown[1]
        return (*place, key), f"unknown key{_did_you_mean(key)}"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", problem):
        return (*place, missing[1]), "this key is missing"
    return place, _PLAINLY.get(problem) or problem[:1].lower() + problem[1:]


def _did_you_mean(key: str) -> str:
    known = {field.encode_name for kind in _KINDS for field in msgspec.structs.fields(kind)}
    close = get_close_matches(key, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


_KINDS = (
    PipelinesWritten,
    PipelineWritten,
    StageWritten,
    GateWritten,
    SuiteWritten,
    FreezeWritten,
    SigningWritten,
)


def _mapping(data: Any, key: str) -> dict[str, Any]:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else {}


def _targets(stage: StageWritten) -> tuple[str, ...]:
    targets = stage.promotes_to
    return (targets,) if isinstance(targets, str) else tuple(targets)


class _Checker:
    """Turns what is written into what is meant, and collects every problem on the way."""

    def __init__(self, source: Document) -> None:
        self._source = source
        self.problems: list[str] = []

    def pipeline(self, name: str, written: PipelineWritten) -> Pipeline:
        path: KeyPath = ("pipelines", name)
        stages = {
            stage_name: self._stage(stage_name, stage, (*path, "stages", stage_name))
            for stage_name, stage in written.stages.items()
        }
        self._targets(stages, (*path, "stages"))
        for stage_name in stages:
            self._promoted_into(stage_name, written, (*path, "stages", stage_name, "gate"))
        results = self.matching(SUBSCRIPTION, written.results, (*path, "results"))
        return Pipeline(name, stages, results, observed=written.mode == "observe")

    def signing(self, written: SigningWritten) -> Signing:
        if bool(written.kms) == bool(written.key):
            self._problem(("signing",), "name either a kms key version or a key file")
        kms = self.matching(KEY_VERSION, written.kms, ("signing", "kms"))
        return Signing(kms, written.key, tuple(written.trusted))

    def matching(self, pattern: re.Pattern[str], text: str, path: KeyPath) -> str:
        if text and not pattern.fullmatch(text):
            shape = re.sub(r"\[.*?\]\+", "…", pattern.pattern)
            self._problem(path, f"{text!r} is not of the form {shape}")
        return text

    def repositories_apart(self, pipelines: list[Pipeline]) -> None:
        """No stage may lie in another's repository: an image would be in both."""
        placed = [
            (stage.repository, ("pipelines", pipeline.name, "stages", stage.name))
            for pipeline in pipelines
            for stage in pipeline.stages.values()
        ]
        for (one, one_path), (other, other_path) in combinations(placed, 2):
            if f"{other}/".startswith(f"{one}/") or f"{one}/".startswith(f"{other}/"):
                self._problem(
                    other_path,
                    f"its repository {other} and that of {document.dotted(one_path)}, {one},"
                    " overlap; every stage needs its own",
                )

    def _stage(self, name: str, written: StageWritten, path: KeyPath) -> Stage:
        promotes_to = _targets(written)
        if promotes_to and written.gate is UNSET:
            self._problem((*path, "gate"), "a stage with promotes_to needs a gate")
        return Stage(
            name,
            self._repository(f"{written.registry}/{written.path or name}", (*path, "registry")),
            promotes_to,
            self._gate(written.gate, (*path, "gate")) if written.gate is not UNSET else None,
            written.entry,
            written.auto,
            self._duration(written.expect_within, (*path, "expect_within")),
        )

    def _repository(self, text: str, path: KeyPath) -> Repository:
        try:
            return Repository.parse(text)
        except BadReference as error:
            self._problem(path, str(error))
            return Repository("", text)

    def _targets(self, stages: dict[str, Stage], path: KeyPath) -> None:
        for stage in stages.values():
            for target in stage.promotes_to:
                if target not in stages:
                    known = ", ".join(stages)
                    problem = f"there is no stage {target!r}; this pipeline has {known}"
                    self._problem((*path, stage.name, "promotes_to"), problem)
            if len(set(stage.promotes_to)) < len(stage.promotes_to):
                self._problem((*path, stage.name, "promotes_to"), "a stage stands there twice")
            for position, suite in enumerate(stage.gate.suites if stage.gate else ()):
                if suite.stage and suite.stage not in stages:
                    place = (*path, stage.name, "gate", "suites", position, "from")
                    self._problem(place, f"there is no stage {suite.stage!r}")
        try:
            TopologicalSorter({s.name: s.promotes_to for s in stages.values()}).prepare()
        except CycleError as error:
            circle = " → ".join(reversed(error.args[1]))
            self._problem((*path, error.args[1][0], "promotes_to"), f"a cycle: {circle}")

    def _gate(self, written: GateWritten, path: KeyPath) -> Gate:
        gate = Gate(
            suites=tuple(
                self._suite(suite, (*path, "suites", position))
                for position, suite in enumerate(written.suites)
            ),
            refs=tuple(written.refs),
            versions=self._versions(written.versions, (*path, "versions")),
            order=written.order,
            soak=self._duration(written.soak, (*path, "soak")),
            soak_from=written.soak_from,
            restart_soak_on_alert=written.restart_soak_on_alert,
            no_alerts=written.alerts == "none",
            approvals=written.approvals,
            approvers=tuple(written.approvers),
            freeze=self._freezes(written.freeze, (*path, "freeze")),
        )
        self._whole(gate, path)
        return gate

    def _whole(self, gate: Gate, path: KeyPath) -> None:
        """No key of a gate may be without that which it says more of."""
        if gate == Gate(suites=(), order=gate.order):
            self._problem(
                path, "an empty gate holds nothing back; name a condition, such as suites"
            )
        if gate.refs and not gate.suites:
            self._problem((*path, "refs"), "refs judge the runs of suites; name suites too")
        for key in ("soak_from", "restart_soak_on_alert"):
            if gate.soak is None and getattr(gate, key) != getattr(Gate(suites=()), key):
                self._problem((*path, key), "this is about a soak; say how long it is, with soak")
        if gate.approvers and not gate.approvals:
            problem = "these could approve, and need not; say how many must, with approvals"
            self._problem((*path, "approvers"), problem)
        distinct = {address.casefold() for address in gate.approvers}
        if gate.approvers and len(distinct) < gate.approvals:
            problem = f"{gate.approvals} must approve, and only {len(distinct)} may"
            self._problem((*path, "approvals"), problem)

    def _promoted_into(self, name: str, pipeline: PipelineWritten, path: KeyPath) -> None:
        """A soak that counts from a promotion needs one: it would never begin."""
        gate = pipeline.stages[name].gate
        if gate is UNSET or gate.soak_from != "promotion":
            return
        if pipeline.mode == "observe":
            self._problem((*path, "soak_from"), "with mode: observe nothing is ever promoted")
        elif not any(name in _targets(stage) for stage in pipeline.stages.values()):
            self._problem((*path, "soak_from"), f"no stage promotes to {name}")

    def _suite(self, written: str | SuiteWritten, path: KeyPath) -> Suite:
        if isinstance(written, str):
            return Suite(written)
        via = self.matching(SUBSCRIPTION, written.via, (*path, "via"))
        return Suite(written.suite, written.from_, via)

    def _versions(self, text: str, path: KeyPath) -> str:
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            self._problem(path, f"{text!r} is neither 'semver' nor a regular expression: {error}")
        return text

    def _duration(self, text: str | UnsetType, path: KeyPath) -> timedelta | None:
        if text is UNSET:
            return None
        try:
            return duration(text)
        except ValueError as error:
            self._problem(path, str(error))
            return timedelta()

    def _freezes(self, written: list[FreezeWritten], path: KeyPath) -> tuple[Freeze, ...]:
        windows = [
            self._freeze(window, (*path, position)) for position, window in enumerate(written)
        ]
        return tuple(window for window in windows if window is not None)

    def _freeze(self, written: FreezeWritten, path: KeyPath) -> Freeze | None:
        timezone = self._timezone(written.timezone, (*path, "timezone"))
        begin = self._moment(written.from_, (*path, "from"))
        end = self._moment(written.to, (*path, "to"))
        match begin, end:
            case datetime(), datetime() if begin < end:
                return DatedFreeze(begin, end, timezone, written.reason)
            case tuple(), tuple() if begin != end:
                return WeeklyFreeze(*begin, *end, timezone, written.reason)
            case _ if begin and end:
                problem = f"this does not come after {written.from_}, from which the freeze is"
                self._problem((*path, "to"), problem)
        return None

    def _moment(self, text: str, path: KeyPath) -> datetime | tuple[int, time] | None:
        """A date and a time, or the number of a weekday and a time."""
        if weekly := MOMENT.fullmatch(text.lower()):
            return WEEKDAYS.index(weekly[1]), time(int(weekly[2]), int(weekly[3]))
        try:
            if DATE_AND_TIME.fullmatch(text):
                return datetime.fromisoformat(text)
        except ValueError:
            pass  # There is no such day: no other form has room for it either.
        self._problem(
            path,
            f"{text!r} is not a weekday and a time, such as 'fri 16:00',"
            " nor a date and a time, such as 2026-12-24T16:00",
        )
        return None

    def _timezone(self, name: str, path: KeyPath) -> ZoneInfo:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            self._problem(path, f"{name!r} is not a time zone, such as Europe/London")
            return ZoneInfo("UTC")

    def _problem(self, path: KeyPath, problem: str) -> None:
        self.problems.append(f"{self._source.place(path)}: {problem}")
