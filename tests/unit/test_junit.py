"""Test reports in the dialects of several runners: counted alike, and refused where they lie."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion import junit
from promotion.errors import BadReport
from promotion.junit import Tests
from promotion.messages import Outcome

PYTEST = """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="2"
    tests="6" time="0.041" hostname="runner"><testcase classname="tests.test_cart"
    name="test_total" time="0.001"/><testcase classname="tests.test_cart" name="test_tax"><failure
    message="assert 119 == 120">def test_tax(): …</failure></testcase><testcase
    classname="tests.test_cart" name="test_pay"><error message="failed on setup">…</error>
</testcase><testcase classname="tests.test_cart" name="test_later"><skipped type="pytest.skip"
    message="later"/></testcase><testcase classname="tests.test_cart" name="test_known"><skipped
    type="pytest.xfail" message="known"/></testcase><testcase classname="tests.test_cart"
    name="test_empty"><system-out>nothing in it</system-out></testcase></testsuite></testsuites>
"""
SUREFIRE = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" name="shop.CartTest" time="0.2"
    tests="4" errors="0" skipped="1" failures="1" flakes="1">
  <properties><property name="java.version" value="21"/></properties>
  <testcase name="total" classname="shop.CartTest" time="0.01"/>
  <testcase name="pay" classname="shop.CartTest"><flakyFailure message="slow" type="java.lang.E">
    <stackTrace>at shop.CartTest</stackTrace></flakyFailure></testcase>
  <testcase name="tax" classname="shop.CartTest"><failure message="119" type="java.lang.E">at
    shop.CartTest</failure><rerunFailure message="119" type="java.lang.E"/></testcase>
  <testcase name="later" classname="shop.CartTest"><skipped/></testcase>
</testsuite>
"""
GO = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="3" failures="1">
  <testsuite name="example.com/shop/cart" tests="2" failures="1" errors="0" id="0" time="0.003">
    <properties><property name="coverage.statements.pct" value="80.0"></property></properties>
    <testcase name="TestTotal" classname="example.com/shop/cart" time="0.000"></testcase>
    <testcase name="TestTax" classname="example.com/shop/cart" time="0.000">
      <failure message="Failed"><![CDATA[    cart_test.go:12: 119 < 120]]></failure>
    </testcase>
  </testsuite>
  <testsuite name="example.com/shop/stock" tests="1" failures="0" errors="0" id="1" time="0.001">
    <testcase name="TestEmpty" classname="example.com/shop/stock" time="0.000">
      <skipped message="stock_test.go:9: later"></skipped>
    </testcase>
  </testsuite>
</testsuites>
"""
JEST = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="jest tests" tests="2" failures="0" errors="1" time="1.2">
  <testsuite name="cart" errors="0" failures="0" skipped="0" tests="2" time="0.5">
    <testcase classname="cart adds up" name="cart adds up" time="0.003"></testcase>
    <testcase classname="cart pays" name="cart pays" time="0.001"></testcase>
  </testsuite>
  <testsuite name="stock" errors="1" failures="0" skipped="0" tests="0" time="0"></testsuite>
</testsuites>
"""


def suite(content: str, attributes: str = "") -> bytes:
    """A report of one suite."""
    return f"<testsuite {attributes}>{content}</testsuite>".encode()


@pytest.mark.parametrize(
    ("report", "tests"),
    [
        pytest.param(PYTEST, Tests(2, 2, 2), id="pytest"),
        pytest.param(SUREFIRE, Tests(2, 1, 1), id="Maven Surefire"),
        pytest.param(GO, Tests(1, 1, 1), id="go-junit-report"),
        pytest.param(JEST, Tests(2, 1, 0), id="jest-junit, with a file that could not be loaded"),
    ],
)
def test_each_dialect_is_counted(report: str, tests: Tests) -> None:
    """Either root; outputs, properties and what passed on a second try do not count."""
    assert junit.read(report.encode()) == tests
    assert tests.outcome is Outcome.FAILURE


def test_suites_may_hold_suites() -> None:
    """Each case counts once, however deep it is, in whatever namespace."""
    nested = b"""<testsuites xmlns="urn:any"><testsuite failures="1"><testsuite failures="1">
        <testsuite><testcase/><testcase><failure/></testcase></testsuite>
        </testsuite></testsuite><testcase/></testsuites>"""
    assert junit.read(nested) == Tests(passed=2, failed=1)


@pytest.mark.parametrize(
    ("report", "tests"),
    [
        (suite("<testcase/>", 'failures="2" errors="1"'), Tests(1, 3)),
        (suite("<testcase/><testcase><error/></testcase>", 'errors="0" tests="9"'), Tests(1, 1)),
        (suite('<testcase/><testsuite errors="1"/>', 'errors="1"'), Tests(1, 1)),
        (suite('<testcase/><testsuite errors="1"/>', 'errors="3"'), Tests(1, 3)),
        (suite("<testcase/><error>not loaded</error>"), Tests(1, 1)),
        (suite("<testcase/>", 'failures="" errors=" 0 "'), Tests(1)),
    ],
)
def test_a_suite_that_tells_of_more_failures_than_its_cases_is_believed(
    report: bytes, tests: Tests
) -> None:
    """Fewer are not: what a case says counts, and the other numbers do not matter."""
    assert junit.read(report) == tests


@pytest.mark.parametrize(
    ("case", "tests"),
    [
        ('<testcase status="notrun"/>', Tests(skipped=1)),
        ('<testcase status="run"/>', Tests(passed=1)),
        ('<testcase status="FAILED"/>', Tests(failed=1)),
        ("<testcase><skipped/><failure/></testcase>", Tests(failed=1)),
        ("<testcase><failure/><error/></testcase>", Tests(failed=1)),
        ("<testcase><properties><property name='failure'/></properties></testcase>", Tests(1)),
    ],
)
def test_a_case_ends_in_one_way(case: str, tests: Tests) -> None:
    """By its elements or its status; a failure outweighs all else."""
    assert junit.read(suite(case)) == tests


@pytest.mark.parametrize(
    ("tests", "outcome"),
    [
        (Tests(3, 0, 9), Outcome.SUCCESS),
        (Tests(3, 1, 0), Outcome.FAILURE),
        (Tests(0, 0, 4), Outcome.ERROR),
        (Tests(), Outcome.ERROR),
    ],
)
def test_a_run_that_tested_nothing_is_no_success(tests: Tests, outcome: Outcome) -> None:
    """And no failure of the image either."""
    assert tests.outcome is outcome


def test_several_reports_count_together() -> None:
    """So the failure in one of them is the run's."""
    assert Tests(1, 0, 2) + Tests(3, 1, 0) == Tests(4, 1, 2)


BOMB = (
    '<!DOCTYPE testsuite [<!ENTITY a "ha">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><testsuite><testcase name='&i;'/></testsuite>"
)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not well-formed"),
        (b"ok", "not well-formed"),
        (b"<testsuite><testcase/>", "not well-formed"),
        (b"<testsuite/><testsuite/>", "not well-formed"),
        (b"<testsuite>&#0;</testsuite>", "not well-formed"),
        (b"<testsuite>\xff</testsuite>", "not well-formed"),
        (b'<?xml version="1.0" encoding="no-such"?><testsuite/>', "not well-formed"),
        (b'<?xml version="1.0" encoding="utf-7"?><testsuite/>', "not well-formed"),
        (b"<html><testcase/></html>", "its root is <html>"),
        (b"<testcase/>", "its root is <testcase>"),
        (b'<testsuite failures="none"/>', 'failures="none" is not a number'),
        (b'<testsuite errors="-1"/>', 'errors="-1" is not a number'),
        (b"<!DOCTYPE html><testsuite/>", "document type, html"),
        (BOMB.encode(), "document type, testsuite"),
        (
            b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><testsuite>&f;</testsuite>',
            "document type, x",
        ),
        (b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><testsuite/>', "document type, x"),
    ],
)
def test_what_is_no_report_is_refused(content: bytes, complaint: str) -> None:
    """Malformed XML, other documents, numbers that are none; entities are never expanded."""
    with pytest.raises(BadReport, match=complaint):
        junit.read(content)


def test_what_is_deeper_than_any_report_is_refused() -> None:
    """Before it takes memory."""
    deep = b"<testsuite>" * 99 + b"<testcase/>" + b"</testsuite>" * 99
    assert junit.read(deep) == Tests(passed=1)
    with pytest.raises(BadReport, match="100 deep"):
        junit.read(b"<testsuite>" + deep + b"</testsuite>")


CASES = {
    "<testcase/>": Tests(passed=1),
    "<testcase><skipped/></testcase>": Tests(skipped=1),
    "<testcase><system-out>&lt;failure/&gt;</system-out><failure>no</failure></testcase>": Tests(
        failed=1
    ),
    "<testcase><error/></testcase>": Tests(failed=1),
}
TREES = st.recursive(
    st.sampled_from(sorted(CASES)).map(lambda case: (case, CASES[case])),
    lambda inner: st.lists(inner).map(
        lambda parts: (
            f"<testsuite>{''.join(text for text, _ in parts)}</testsuite>",
            sum((tests for _, tests in parts), start=Tests()),
        )
    ),
)


@settings(max_examples=30)
@given(st.lists(TREES, max_size=4))
def test_every_case_counts_once(parts: list[tuple[str, Tests]]) -> None:
    """However suites hold each other."""
    report = f"<testsuites>{''.join(text for text, _ in parts)}</testsuites>"
    assert junit.read(report.encode()) == sum((tests for _, tests in parts), start=Tests())


@settings(max_examples=50)
@given(
    st.one_of(
        st.binary(),
        st.text().map(str.encode),
        st.lists(st.sampled_from([*"<>/&;!?= ", "testsuite", "testcase", "failures='1'", "\xff"]))
        .map("".join)
        .map(str.encode),
    )
)
def test_whatever_is_read_is_a_report_or_refused(content: bytes) -> None:
    """There is no third way out."""
    with suppress(BadReport):
        assert junit.read(content) is not None


def test_other_encodings_are_read() -> None:
    """As the XML declares them."""
    report = '<?xml version="1.0" encoding="UTF-16"?><testsuite><testcase name="é"/></testsuite>'
    assert junit.read(report.encode("utf-16")) == Tests(passed=1)


def test_a_file_is_named_when_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not there, a folder, one that is malformed, one that is too large."""
    monkeypatch.setattr(junit, "LARGEST", 40)
    (tmp_path / "bad.xml").write_bytes(b"<testsuite>")
    (tmp_path / "large.xml").write_bytes(suite("<testcase/>" * 4))
    for name, complaint in [
        ("*.xml", "cannot be read: No such file"),
        (".", "cannot be read: Is a directory"),
        ("bad.xml", "cannot be relied on: it is not well-formed"),
        ("large.xml", "has more than 40 bytes"),
    ]:
        with pytest.raises(BadReport, match=complaint) as refused:
            junit.read_file(tmp_path / name)
        assert str(tmp_path / name) in str(refused.value)
