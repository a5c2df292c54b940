"""Histories as docs/gates.md writes them: a line for each thing that is so, and for each verdict.

09:00  nft failure in extended-test on refs/heads/main through SUBSCRIPTION
09:01  promoted into extended-test
09:05  deployed in extended-test
09:30  alert 17 opened in extended-test      or: in all of extended-test
09:50  alert 17, opened 09:30, closed in extended-test
10:00  ana@acme.dev approves in extended-test until 18:00: REASON
10:00  ana@acme.dev overrides soak, suites in extended-test: REASON
10:00  ana@acme.dev holds all of extended-test: REASON       or: all of the pipeline
at 12:30                                     the clock goes on; a whole date can stand before it
version 1.4.3                                which version it is about
extended-test has 1.4.1, 1.5.0               the versions there
fast-feedback:1.4.2 is another image         or: is not there
more than 200 statements
fast-feedback → extended-test: WAIT (suite-missing, …)
- the message of its first finding, and so on
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from promotion.evidence.act import Kind
from promotion.gates import Standing
from promotion.pipeline import Pipeline
from promotion.registry.reference import Digest
from promotion.verdict import Decision, Verdict
from tests.unit.histories import (
    NINE,
    OTHER,
    TESTED,
    VERSION,
    Stated,
    act,
    alert,
    deployed,
    judge,
    promoted,
    run,
)


@dataclass(frozen=True)
class History:
    """All that is so at some point.

    Attributes:
        now: What the clock shows: the latest time of any line so far.
    """

    stated: tuple[Stated, ...] = ()
    version: str = VERSION
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tags: Mapping[str, Digest | None] = field(default_factory=dict)
    overflow: bool = False
    now: datetime = NINE

    def judged(self, pipeline: Pipeline, stage: str, to_stage: str) -> Verdict:
        """The verdict at this point, at the gate between two stages."""
        standing = Standing(
            self.tags.get(stage, TESTED), self.tags.get(to_stage), self.versions.get(to_stage, ())
        )
        return judge(
            pipeline,
            *self.stated,
            stage=stage,
            version=self.version,
            standing=standing,
            overflow=self.overflow,
            now=self.now,
        )


@dataclass(frozen=True)
class Written:
    """A verdict as the page has it.

    Attributes:
        messages: Those of its findings, if the page shows them.
    """

    history: History
    stage: str
    to_stage: str
    decision: Decision
    codes: tuple[str, ...]
    messages: tuple[str, ...] = ()


_RUN = re.compile(
    r"(\d\d):(\d\d) +(\S+) (success|failure)(?: in (\S+))?(?: on (\S+))?(?: through (\S+))?"
)
_DEPLOYED = re.compile(r"(\d\d):(\d\d) +deployed in (\S+?)(?: through (\S+))?")
_ALERT = re.compile(
    r"(\d\d):(\d\d) +alert (\w+)(?: opened|, opened (\d\d):(\d\d), closed) in (all of )?(\S+)"
)
_ACT = re.compile(
    r"(\d\d):(\d\d) +(\S+@\S+) (approve|override|hold|release|revoke|promote)s"
    r"(?: (?!in |all of )(.+?))?"
    r"(?: (in|all of) (the pipeline|[a-z-]+))(?: to ([a-z-]+))?"
    r"(?: until (\d\d):(\d\d))?: (.+)"
)
_CLOCK = re.compile(r"at (?:(\d{4}-\d\d-\d\d) )?(\d\d:\d\d)")
_PROMOTED = re.compile(r"(\d\d):(\d\d) +promoted into (\S+)")
_VERSION = re.compile(r"version (\S+)")
_VERSIONS = re.compile(r"(\S+) has (.+)")
_TAG = re.compile(r"(\S+):(\S+) is (another image|not there)")
_OVERFLOW = re.compile("more than 200 statements")
_VERDICT = re.compile(r"(\S+) → (\S+): (PROMOTE|WAIT|DENY) \((.+)\)")
_PROMOTED_FROM = {"extended-test": "fast-feedback", "prod": "extended-test"}


def verdicts(text: str) -> Iterator[Written]:
    """The verdicts in a text; a blank line starts another history."""
    for part in text.strip().split("\n\n"):
        yield from _verdicts(part.splitlines())


def _verdicts(lines: list[str]) -> Iterator[Written]:
    history = History()
    for position, line in enumerate(lines):
        if verdict := _VERDICT.fullmatch(line):
            stage, to_stage, decision, codes = verdict.groups()
            messages = _messages(lines[position + 1 :])
            named = tuple(codes.split(", "))
            yield Written(history, stage, to_stage, Decision[decision], named, messages)
        elif not line.startswith("- "):
            history = _continued(history, line)


def _messages(lines: list[str]) -> tuple[str, ...]:
    after = next((number for number, line in enumerate(lines) if line[:2] != "- "), len(lines))
    return tuple(line[2:] for line in lines[:after])


def _continued(history: History, line: str) -> History:
    """The history after one more thing that is so."""
    for kind, stated in _STATED.items():
        if match := kind.fullmatch(line):
            now = max(history.now, NINE + timedelta(minutes=_minute(match, 1)))
            return replace(history, stated=(*history.stated, stated(match)), now=now)
    return _otherwise(history, line)


def _otherwise(history: History, line: str) -> History:
    """The history after something that nobody states."""
    if match := _CLOCK.fullmatch(line):
        now = datetime.fromisoformat(f"{match[1] or NINE.date()}T{match[2]}:00Z")
        return replace(history, now=now)
    if match := _VERSION.fullmatch(line):
        return replace(history, version=match[1])
    if match := _TAG.fullmatch(line):
        assert match[2] == history.version
        names = OTHER if match[3] == "another image" else None
        return replace(history, tags={**history.tags, match[1]: names})
    if match := _VERSIONS.fullmatch(line):
        there = tuple(match[2].split(", "))
        return replace(history, versions={**history.versions, match[1]: there})
    assert _OVERFLOW.fullmatch(line), line
    return replace(history, overflow=True)


def _minute(line: re.Match[str], group: int) -> int:
    return (int(line[group]) - 9) * 60 + int(line[group + 1])


def _run(line: re.Match[str]) -> Stated:
    stage, ref, subscription = line[5] or "fast-feedback", line[6] or "", line[7] or ""
    passed = line[4] == "success"
    return run(line[3], passed, _minute(line, 1), stage=stage, ref=ref, subscription=subscription)


def _promoted(line: re.Match[str]) -> Stated:
    return promoted(line[3], _minute(line, 1), from_stage=_PROMOTED_FROM[line[3]])


def _deployed(line: re.Match[str]) -> Stated:
    return deployed(_minute(line, 1), stage=line[3], subscription=line[4] or "")


def _alert(line: re.Match[str]) -> Stated:
    whole, stage = bool(line[6]), line[7]
    if line[4]:
        began, ended = _minute(line, 4), _minute(line, 1)
        return alert(line[3], began, ended, stage=stage, whole=whole)
    return alert(line[3], _minute(line, 1), stage=stage, whole=whole)


def _act(line: re.Match[str]) -> Stated:
    where = line[7]
    of = "image" if line[6] == "in" else "pipeline" if where == "the pipeline" else "stage"
    return act(
        Kind(line[4]),
        _minute(line, 1),
        _minute(line, 9) if line[9] else None,
        author=line[3],
        reason=line[11],
        gates=tuple(line[5].split(", ")) if line[5] else (),
        stage="extended-test" if of == "pipeline" else where,
        of=of,
        to_stage=line[8] or "",
    )


_STATED: Mapping[re.Pattern[str], Callable[[re.Match[str]], Stated]] = {
    _RUN: _run,
    _PROMOTED: _promoted,
    _DEPLOYED: _deployed,
    _ALERT: _alert,
    _ACT: _act,
}
