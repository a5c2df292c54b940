"""Test reports in JUnit's XML, as most test runners can write them: what they say of a run.

The form has no specification, so little is relied upon. Test cases are counted one by one; the
numbers that suites give of themselves are believed only where they tell of more failures than there
are cases, as they do when a suite could not even be loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

from promotion.errors import BadReport
from promotion.messages import Outcome

LARGEST = 64 * 1024 * 1024
"""The bytes that one report may have: more is not a report, or holds the output of tests."""

_DEEPEST = 100
# A refusal takes effect at the end of a piece only.
_PIECE = 1024 * 1024
_ROOTS = ("testsuites", "testsuite")
_FAILURES = ("failure", "error")
# What GoogleTest and CTest say in an attribute, not always in an element.
_NOT_RUN = frozenset({"notrun", "disabled", "skipped"})
_NOT_PASSED = frozenset({"fail", "failed", "failure", "error"})
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class Tests:
    """How many test cases ended how."""

    __test__ = False  # not a test case, whatever its name

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Tests) -> Tests:
        return Tests(
            self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        )

    @property
    def outcome(self) -> Outcome:
        """One failure is a failure; a run in which nothing was tested is no success, but broken."""
        if self.failed:
            return Outcome.FAILURE
        return Outcome.SUCCESS if self.passed else Outcome.ERROR

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def read(content: bytes) -> Tests:
    """What a report says.

    Raises:
        BadReport: It is not well-formed, no report, declares entities or other document types, or
            gives numbers that are none.
    """
    counter = _Counter()
    parser = ElementTree.XMLParser(target=counter)
    try:
        for start in range(0, len(content), _PIECE):
            parser.feed(content[start : start + _PIECE])
        parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadReport(f"it is not well-formed XML: {error}") from error
    return counter.tests


def read_file(path: Path) -> Tests:
    """What the report in a file says.

    Raises:
        BadReport: It cannot be read, is too large, or is none, as for ``read``; the file is named.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise BadReport(f"The test report {path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise BadReport(f"The test report {path} has more than {LARGEST:,} bytes")
    try:
        return read(content)
    except BadReport as error:
        raise BadReport(f"The test report {path} cannot be relied on: {error}") from error


@dataclass
class _Case:
    """A test case that is being read."""

    failed: bool
    skipped: bool


@dataclass(frozen=True)
class _Suite:
    """A suite that is being read: how many failures it tells of, and how many came before it."""

    told: int
    before: int


class _Counter:
    """Takes the elements of a report one after the other, and keeps none."""

    def __init__(self) -> None:
        self.tests = Tests()
        self._depth = 0
        self._suites: list[_Suite] = []
        self._cases: list[_Case] = []

    def doctype(self, name: str, *_: object) -> NoReturn:
        """Refuse a document type: no report has one, and entities are declared in it alone."""
        raise BadReport(f"it has a document type, {name}, as no test report has")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BadReport(f"its elements are more than {_DEEPEST} deep")
        name = tag.rpartition("}")[2]
        if name in _ROOTS:
            self._suites.append(_Suite(_told(attributes), self.tests.failed))
        elif not self._suites:
            raise BadReport(f"its root is <{name}>, not <testsuites> or <testsuite>")
        elif name == "testcase":
            status = attributes.get("status", "").lower()
            self._cases.append(_Case(status in _NOT_PASSED, status in _NOT_RUN))
        elif name in _FAILURES:
            self._fail()
        elif name == "skipped" and self._cases:
            self._cases[-1].skipped = True

    def end(self, tag: str) -> None:
        """An element ends."""
        self._depth -= 1
        name = tag.rpartition("}")[2]
        if name == "testcase":
            self.tests += _counted(self._cases.pop())
        elif name in _ROOTS:
            suite = self._suites.pop()
            found = self.tests.failed - suite.before
            self.tests += Tests(failed=max(suite.told - found, 0))

    def close(self) -> None:
        """The report ends."""

    def _fail(self) -> None:
        """A failure is its test case's or, outside of one, the suite's own."""
        if self._cases:
            self._cases[-1].failed = True
        else:
            self.tests += Tests(failed=1)


def _counted(case: _Case) -> Tests:
    if case.failed:
        return Tests(failed=1)
    return Tests(skipped=1) if case.skipped else Tests(passed=1)


def _told(attributes: Mapping[str, str]) -> int:
    """How many failures a suite tells of in its attributes."""
    return sum(_number(name, attributes.get(name, "")) for name in ("failures", "errors"))


def _number(name: str, text: str) -> int:
    if not text.strip():
        return 0
    if not _NUMBER.fullmatch(text.strip()):
        raise BadReport(f'{name}="{text[:40]}" is not a number')
    return int(text)
