"""Histories as docs/gates.md writes them: a line for each thing that is so, and for each verdict.

09:00  nft failure in extended-test on refs/heads/main through SUBSCRIPTION
09:01  promoted into extended-test
version 1.4.3                                which version it is about
extended-test has 1.4.1, 1.5.0               the versions there
fast-feedback:1.4.2 is another image         or: is not there
more than 200 statements
fast-feedback → extended-test: WAIT (suite-missing, …)
- the message of its first finding, and so on
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from promotion.gates import Standing
from promotion.pipeline import Pipeline
from promotion.registry.reference import Digest
from promotion.verdict import Decision, Verdict
from tests.unit.histories import OTHER, TESTED, VERSION, Stated, judge, promoted, run


@dataclass(frozen=True)
class History:
    """All that is so at some point."""

    stated: tuple[Stated, ...] = ()
    version: str = VERSION
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tags: Mapping[str, Digest | None] = field(default_factory=dict)
    overflow: bool = False

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
    if match := _RUN.fullmatch(line) or _PROMOTED.fullmatch(line):
        return replace(history, stated=(*history.stated, _stated(match)))
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


def _stated(line: re.Match[str]) -> Stated:
    minute = (int(line[1]) - 9) * 60 + int(line[2])
    if line.re is _PROMOTED:
        return promoted(line[3], minute, from_stage=_PROMOTED_FROM[line[3]])
    stage, ref, subscription = line[5] or "fast-feedback", line[6] or "", line[7] or ""
    passed = line[4] == "success"
    return run(line[3], passed, minute, stage=stage, ref=ref, subscription=subscription)
