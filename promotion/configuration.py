"""Reads promotion.yaml: its types as they are written, and what must hold between them.

The types below are also the source of schemas/promotion.schema.json, with which editors complete
and check the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time, timedelta
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from promotion import document
from promotion.document import Document, KeyPath
from promotion.errors import BadConfiguration, BadReference
from promotion.pipeline import Freeze, Gate, Pipeline, Pipelines, Signing, Stage, Suite
from promotion.registry.reference import Repository

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_DURATION = re.compile(r"([0-9]+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MOMENT = re.compile(rf"({'|'.join(_WEEKDAYS)}) ([01][0-9]|2[0-3]):([0-5][0-9])")
_SUBSCRIPTION = re.compile(r"projects/[^/]+/subscriptions/[^/]+")
_KEY_VERSION = re.compile(
    r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+/cryptoKeyVersions/[0-9]+"
)

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Subscription = Annotated[
    str,
    Meta(
        description="A Pub/Sub subscription: projects/PROJECT/subscriptions/NAME.",
        extra_json_schema={"pattern": f"^{_SUBSCRIPTION.pattern}$"},
    ),
]
Duration = Annotated[
    str,
    Meta(
        description="A number and a unit: 90s, 30m, 4h, 2d.",
        extra_json_schema={"pattern": f"^{_DURATION.pattern}$"},
    ),
]
Moment = Annotated[
    str,
    Meta(
        description="A weekday and a time: 'fri 16:00'.",
        extra_json_schema={"pattern": f"^{_MOMENT.pattern}$"},
    ),
]


class _Written(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Anything as written in the file: an unknown key is an error."""


class FreezeWritten(_Written, rename={"from_": "from"}):
    """A weekly window in which nothing leaves the stage."""

    from_: Moment
    to: Moment
    reason: Annotated[str, Meta(min_length=1)]
    timezone: Annotated[str, Meta(description="An IANA name: Europe/London.")] = "UTC"


class SuiteWritten(_Written, rename={"from_": "from"}):
    """A suite that must have succeeded, and where that must have been said."""

    suite: Name
    from_: Annotated[str, Meta(description="The stage it runs in; default: the gate's own.")] = ""
    via: Subscription = ""


class GateWritten(_Written):
    """The conditions for leaving a stage. All of them must hold."""

    suites: Annotated[
        list[Name | SuiteWritten], Meta(description="Test suites that must have succeeded.")
    ] = []
    refs: Annotated[list[Name], Meta(description="Git refs, as globs, that may leave.")] = []
    versions: Annotated[str, Meta(description="'semver', or a regular expression.")] = ""
    order: Annotated[
        Literal["minor", "strict", "any"],
        Meta(description="Which versions of the next stage a version must not be behind."),
    ] = "minor"
    soak: Duration | UnsetType = UNSET
    alerts: Annotated[Literal["none"], Meta(description="No open alert.")] | UnsetType = UNSET
    approvals: Annotated[int, Meta(ge=0, description="How many people must approve.")] = 0
    freeze: list[FreezeWritten] = []


class StageWritten(_Written):
    """A class of environment: the repositories of the images that may run there."""

    registry: Annotated[str, Meta(description="The registry's host and an optional path prefix.")]
    path: Annotated[str, Meta(description="Path in the registry; default: the stage's name.")] = ""
    promotes_to: Annotated[
        Name | list[Name], Meta(description="The stage or stages that images go to from here.")
    ] = []
    gate: GateWritten | UnsetType = UNSET
    entry: Annotated[
        Literal["record", "any"],
        Meta(description="Judge only images with a promotion record for this stage, or any."),
    ] = "record"


class PipelineWritten(_Written):
    """The stages of one product."""

    stages: Annotated[dict[Name, StageWritten], Meta(min_length=1)]
    results: Subscription = ""
    mode: Annotated[
        Literal["promote", "observe"], Meta(description="observe: judge, and copy nothing.")
    ] = "promote"


class SigningWritten(_Written):
    """Who signs evidence (kms or key), and the public keys whose signatures count."""

    kms: Annotated[str, Meta(description="A Cloud KMS key version.")] = ""
    key: Annotated[str, Meta(description="Path of a private key file (PEM).")] = ""
    trusted: Annotated[list[str], Meta(description="Public keys, PEM.")] = []


class PipelinesWritten(_Written):
    """promotion.yaml: the pipelines of a deployment of Promotion."""

    pipelines: Annotated[dict[Name, PipelineWritten], Meta(min_length=1)]
    signals: Subscription = ""
    signing: SigningWritten | UnsetType = UNSET


def load(path: Path) -> Pipelines:
    """Read and check promotion.yaml.

    Raises:
        BadConfiguration: It cannot be read or is wrong; the text has a line for each problem, with
            file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(
            f"The configuration {path} cannot be read: {error};"
            " write one, or let PROMOTION_CONFIG name it"
        ) from error
    return parse(str(path), text)


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
        checker.matching(_SUBSCRIPTION, written.signals, ("signals",)),
        checker.signing(written.signing) if written.signing is not UNSET else None,
    )
    _raise_if(checker.problems)
    return result


def duration(text: str) -> timedelta:
    """The length of time that a number and a unit stand for.

    Raises:
        ValueError: They are something else, or longer than any that can be reckoned with.
    """
    match = _DURATION.fullmatch(text)
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
    return msgspec.convert(source.data, PipelinesWritten)


def _problems(source: Document, parts: Mapping[KeyPath, Any], kind: type[_Written]) -> list[str]:
    problems = []
    for path, part in parts.items():
        try:
            msgspec.convert(part, kind)
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
    return place, problem[:1].lower() + problem[1:]


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
        results = self.matching(_SUBSCRIPTION, written.results, (*path, "results"))
        return Pipeline(name, stages, results, observed=written.mode == "observe")

    def signing(self, written: SigningWritten) -> Signing:
        if bool(written.kms) == bool(written.key):
            self._problem(("signing",), "name either a kms key version or a key file")
        kms = self.matching(_KEY_VERSION, written.kms, ("signing", "kms"))
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
        targets = written.promotes_to
        promotes_to = (targets,) if isinstance(targets, str) else tuple(targets)
        if promotes_to and written.gate is UNSET:
            self._problem((*path, "gate"), "a stage with promotes_to needs a gate")
        return Stage(
            name,
            self._repository(f"{written.registry}/{written.path or name}", (*path, "registry")),
            promotes_to,
            self._gate(written.gate, (*path, "gate")) if written.gate is not UNSET else None,
            written.entry,
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
            soak=self._duration(written.soak, (*path, "soak")) if written.soak else None,
            no_alerts=written.alerts == "none",
            approvals=written.approvals,
            freeze=tuple(
                self._freeze(window, (*path, "freeze", position))
                for position, window in enumerate(written.freeze)
            ),
        )
        if gate == Gate(suites=(), order=written.order):
            self._problem(
                path, "an empty gate holds nothing back; name a condition, such as suites"
            )
        if gate.refs and not gate.suites:
            self._problem((*path, "refs"), "refs judge the runs of suites; name suites too")
        return gate

    def _suite(self, written: str | SuiteWritten, path: KeyPath) -> Suite:
        if isinstance(written, str):
            return Suite(written)
        via = self.matching(_SUBSCRIPTION, written.via, (*path, "via"))
        return Suite(written.suite, written.from_, via)

    def _versions(self, text: str, path: KeyPath) -> str:
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            self._problem(path, f"{text!r} is neither 'semver' nor a regular expression: {error}")
        return text

    def _duration(self, text: str, path: KeyPath) -> timedelta:
        try:
            return duration(text)
        except ValueError as error:
            self._problem(path, str(error))
            return timedelta()

    def _freeze(self, written: FreezeWritten, path: KeyPath) -> Freeze:
        from_weekday, from_time = self._moment(written.from_, (*path, "from"))
        to_weekday, to_time = self._moment(written.to, (*path, "to"))
        timezone = self._timezone(written.timezone, (*path, "timezone"))
        return Freeze(from_weekday, from_time, to_weekday, to_time, timezone, written.reason)

    def _moment(self, text: str, path: KeyPath) -> tuple[int, time]:
        match = _MOMENT.fullmatch(text.lower())
        if match is None:
            self._problem(path, f"{text!r} is not a weekday and a time, such as 'fri 16:00'")
            return 0, time()
        return _WEEKDAYS.index(match[1]), time(int(match[2]), int(match[3]))

    def _timezone(self, name: str, path: KeyPath) -> ZoneInfo:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            self._problem(path, f"{name!r} is not a time zone, such as Europe/London")
            return ZoneInfo("UTC")

    def _problem(self, path: KeyPath, problem: str) -> None:
        self.problems.append(f"{self._source.place(path)}: {problem}")
