"""Decisions as time goes on: soaks, alerts and freezes, whatever the history and the clocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from promotion.evidence.act import Kind
from promotion.pipeline import Pipeline
from promotion.verdict import Decision, Finding, Verdict
from tests.unit.histories import (
    NINE,
    Stated,
    act,
    alert,
    at,
    codes,
    deployed,
    judge,
    promoted,
    run,
    shop,
)

STAGE = "extended-test"
SOAK = 30
VIA = "projects/p/subscriptions/s"
SECOND = timedelta(seconds=1)

SOAKED = shop(extended_test="soak: 30m", entry="any")
ANEW = shop(extended_test="soak: 30m, restart_soak_on_alert: true", entry="any")
SINCE_PROMOTION = shop(extended_test="soak: 30m, soak_from: promotion", entry="any")
QUIET = shop(extended_test="alerts: none", entry="any")

minutes = st.integers(0, 200)
spans = st.lists(
    st.tuples(st.sampled_from("1234"), st.integers(-60, 90), st.none() | st.integers(0, 60)),
    max_size=4,
    unique_by=lambda each: each[0],
)

Spans = Sequence[tuple[str, int, int | None]]


def judged(pipeline: Pipeline, *stated: Stated, now: datetime = NINE) -> Verdict:
    """The verdict on the image in the stage that has the gate."""
    return judge(pipeline, *stated, stage=STAGE, now=now)


def alerts_of(incidents: Spans) -> list[Stated]:
    """What was said of incidents, each by its start and its length, if it has ended."""
    return [
        alert(name, start, ended)
        for name, start, length in incidents
        for ended in ([None] if length is None else [None, start + length])
    ]


def is_quiet(minute: int, incidents: Spans) -> bool:
    """Whether no incident is open in the minute that begins then."""
    return not any(
        start <= minute and (length is None or minute < start + length)
        for _, start, length in incidents
    )


def named(finding: Finding) -> datetime:
    """The moment that a finding names as the one that is waited for."""
    (text,) = re.findall(r"(?:over at|until) (\S+?Z)", finding.message)
    return datetime.fromisoformat(text)


@given(st.integers(-30, 30), spans, minutes)
def test_a_soak_is_the_quiet_time_since_the_deployment(
    begun: int, incidents: Spans, minute: int
) -> None:
    """Counted minute by minute: an incident's time does not count, that of two counts once."""
    quiet = sum(is_quiet(each, incidents) for each in range(begun, minute))
    verdict = judged(SOAKED, deployed(begun), *alerts_of(incidents), now=at(minute))
    assert codes(verdict) == ["soak-over" if quiet >= SOAK else "soaking"]


@given(st.integers(-30, 30), spans, minutes)
def test_a_soak_that_starts_anew_is_all_quiet(begun: int, incidents: Spans, minute: int) -> None:
    """Nothing was open in all of the last so many minutes, nor is."""
    ends = [start + length for _, start, length in incidents if length is not None]
    all_over = len(ends) == len(incidents)
    over = all_over and minute >= max([begun, *ends]) + SOAK
    verdict = judged(ANEW, deployed(begun), *alerts_of(incidents), now=at(minute))
    assert codes(verdict) == ["soak-over" if over else "soaking"]


@given(st.sampled_from([SOAKED, ANEW]), st.floats(0, 30), spans, minutes)
def test_a_soak_is_over_at_the_moment_that_is_named(
    pipeline: Pipeline, begun: float, incidents: Spans, minute: int
) -> None:
    """And not a second before; while an alert is open none is named."""
    stated = [deployed(begun), *alerts_of(incidents)]
    (finding,) = judged(pipeline, *stated, now=at(minute)).findings
    assume(finding.code == "soaking")
    if "stands still" in finding.message:
        assert any(length is None for _, _, length in incidents)
        return
    over = named(finding)
    assert over > at(minute)
    assert judged(pipeline, *stated, now=over - SECOND).findings == (finding,)
    assert codes(judged(pipeline, *stated, now=over)) == ["soak-over"]


@pytest.mark.parametrize(
    "other",
    [
        deployed(stage="fast-feedback"),
        deployed(pipeline="till"),
        deployed(name="shop-db"),
        promoted(),
    ],
)
def test_only_a_deployment_of_the_image_in_the_stage_begins_a_soak(other: Stated) -> None:
    """What runs elsewhere, or is another image with the same digest, does not."""
    assert codes(judged(SOAKED, other, now=at(500))) == ["not-deployed"]


def test_a_deployment_counts_only_through_the_subscription_of_the_results() -> None:
    """Whoever may publish somewhere else cannot begin a soak; a person reads what is wrong."""
    pipeline = shop(extended_test="soak: 30m", entry="any", pipeline=f"results: {VIA}")
    verdict = judged(pipeline, deployed(), now=at(500))
    assert codes(verdict) == ["not-deployed"]
    assert f"through {VIA}, which alone counts" in str(verdict)
    stated = [deployed(), deployed(480, subscription=VIA)]
    assert codes(judged(pipeline, *stated, now=at(500))) == ["soaking"]
    assert codes(judged(pipeline, *stated, now=at(510))) == ["soak-over"]


def test_the_first_deployment_and_the_first_promotion_count() -> None:
    """Deploying or promoting again begins no soak anew."""
    deployments = [deployed(20), deployed(), deployed(10)]
    assert codes(judged(SOAKED, *deployments, now=at(30))) == ["soak-over"]
    records = [promoted(minute=10), promoted(minute=0)]
    assert codes(judged(SINCE_PROMOTION, *records, now=at(30))) == ["soak-over"]
    assert codes(judged(SINCE_PROMOTION, deployed(), now=at(500))) == ["not-deployed"]


@pytest.mark.parametrize(
    "other",
    [
        {"stage": "fast-feedback"},
        {"stage": "fast-feedback", "whole": True},
        {"pipeline": "till"},
        {"pipeline": "till", "whole": True},
        {"name": "shop-db"},
    ],
)
def test_an_alert_of_something_else_holds_nothing_up(other: dict[str, Any]) -> None:
    """Neither the alerts gate nor the soak."""
    assert codes(judged(QUIET, alert(**other))) == ["no-alert"]
    assert codes(judged(SOAKED, deployed(), alert(**other), now=at(30))) == ["soak-over"]


@pytest.mark.parametrize("whole", [True, False])
def test_an_incident_that_was_closed_is_not_open(whole: bool) -> None:
    """Whichever was heard of first, and also if one of the two was said of the stage alone."""
    opened, closed = alert(minute=1, whole=whole), alert(minute=1, ended=2)
    for stated in ([opened, closed], [closed, opened], [closed]):
        assert codes(judged(QUIET, *stated)) == ["no-alert"]
    assert codes(judged(QUIET, opened, alert("2", 1, 2))) == ["alert-open"]


def test_an_alert_at_a_gate_that_was_passed_counts_from_there_on() -> None:
    """If that gate asks for none, until it is closed; the earlier stage's own alerts do not."""
    passed = shop("suites: [functional], alerts: none", "suites: [extended]", entry="any")
    opened = alert("17", 3, stage="fast-feedback")
    others: list[Stated] = [
        alert("18", 3, stage="fast-feedback", whole=True),
        run("extended", stage="extended-test"),
    ]

    def found(*stated: Stated) -> list[str]:
        return codes(judge(passed, *others, *stated, stage="extended-test"))

    assert found() == ["suite-succeeded"]
    assert found(opened) == ["suite-succeeded", "alert-open-upstream"]
    assert found(opened, alert("17", 3, 4, stage="fast-feedback")) == ["suite-succeeded"]


def test_an_open_alert_names_policy_incident_and_link() -> None:
    """A person sees where to look; every incident has its own finding."""
    first, second = judged(QUIET, alert("17", 3), alert("18", 4)).findings
    assert (first.decision, first.url) == (Decision.WAIT, "https://monitoring/17")
    assert "alert errors (incident 17) is open in extended-test" in first.message
    assert second.url == "https://monitoring/18"


@pytest.mark.parametrize(
    ("release", "found"),
    [
        (act(Kind.RELEASE, 6, of="stage"), "no-alert"),
        (act(Kind.RELEASE, 6, of="pipeline"), "no-alert"),
        (act(Kind.RELEASE, 5, of="stage"), "alert-open"),
        (act(Kind.RELEASE, 6), "alert-open"),
        (act(Kind.RELEASE, 6, 8, of="stage"), "alert-open"),
        (act(Kind.RELEASE, 6, of="stage", stage="fast-feedback"), "alert-open"),
        (act(Kind.RELEASE, 6, of="stage", pipeline="till"), "alert-open"),
    ],
)
def test_a_release_of_the_stage_lifts_what_is_about_no_image(release: Stated, found: str) -> None:
    """If it was decided after the incident began; an image's own alert has to be closed."""
    assert codes(judged(QUIET, alert(minute=5, whole=True), release, now=at(9))) == [found]
    assert codes(judged(QUIET, alert(minute=5), release, now=at(9))) == ["alert-open"]


ZONES = ("Europe/London", "America/New_York", "Australia/Lord_Howe", "America/Havana", "UTC")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 30]))
moments = st.datetimes(
    datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)
) | st.builds(
    # Around the changes of the clocks, where it matters.
    lambda day, minute: datetime.fromisoformat(f"{day}T00:00Z") + timedelta(minutes=minute),
    st.sampled_from(
        ["2026-03-08", "2026-03-29", "2026-04-04", "2026-10-03", "2026-10-25", "2026-11-01"]
    ),
    st.integers(0, 2 * 24 * 60),
)


def frozen(zone: str, *windows: tuple[str, str]) -> Pipeline:
    """A pipeline with freezes in a time zone."""
    freezes = ", ".join(
        f"{{from: '{begin}', to: '{end}', timezone: {zone}, reason: r}}" for begin, end in windows
    )
    return shop(extended_test=f"freeze: [{freezes}]", entry="any")


@given(st.sampled_from(ZONES), *[st.integers(0, 6), times] * 2, moments)
def test_a_weekly_freeze_is_what_the_clocks_show(
    zone: str, first: int, begins: time, last: int, ends: time, now: datetime
) -> None:
    """Frozen is when weekday and time are in the window; around a change of the clocks or not."""
    assume((first, begins) != (last, ends))
    local, hours = now.astimezone(ZoneInfo(zone)), timedelta(hours=2)
    offsets = {(now + each).astimezone(local.tzinfo).utcoffset() for each in (-hours, hours)}
    assume(len(offsets) == 1)
    begin, here, end = (first, begins), (local.weekday(), local.time()), (last, ends)
    inside = begin <= here < end if begin < end else here >= begin or here < end
    pipeline = frozen(zone, (f"{DAYS[first]} {begins:%H:%M}", f"{DAYS[last]} {ends:%H:%M}"))
    assert codes(judged(pipeline, now=now)) == (["frozen"] if inside else [])


@given(
    st.sampled_from(ZONES),
    st.lists(st.tuples(st.integers(0, 6), times, st.integers(0, 6), times), max_size=3),
    st.lists(st.tuples(moments, st.integers(1, 3000)), max_size=2),
    moments,
)
def test_a_freeze_ends_at_the_moment_that_is_named(
    zone: str,
    weekly: list[tuple[int, time, int, time]],
    dated: list[tuple[datetime, int]],
    now: datetime,
) -> None:
    """And not a second before, whatever windows overlap or follow each other, in any zone."""
    windows = [
        (f"{DAYS[first]} {begins:%H:%M}", f"{DAYS[last]} {ends:%H:%M}")
        for first, begins, last, ends in weekly
        if (first, begins) != (last, ends)
    ] + [
        (f"{begin:%Y-%m-%dT%H:%M}", f"{begin + timedelta(minutes=length):%Y-%m-%dT%H:%M}")
        for begin, length in dated
    ]
    assume(windows)
    pipeline = frozen(zone, *windows)
    findings = judged(pipeline, now=now).findings
    if not findings or "at any time" in findings[0].message:
        return
    end = named(findings[0])
    assert end > now
    assert codes(judged(pipeline, now=end - SECOND)) == ["frozen"]
    assert codes(judged(pipeline, now=end)) == []


@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [
        ("2026-03-28T16:00", "2026-03-29T08:00", "2026-03-28T16:00Z", "2026-03-29T07:00Z"),
        ("2026-10-24T16:00", "2026-10-25T08:00", "2026-10-24T15:00Z", "2026-10-25T08:00Z"),
        ("2026-10-25T01:30", "2026-10-25T01:45", "2026-10-25T00:30Z", "2026-10-25T01:45Z"),
        ("sat 16:00", "sun 08:00", "2026-03-28T16:00Z", "2026-03-29T07:00Z"),
        ("mon 01:00", "mon 00:30", "2026-03-23T01:00Z", "2026-03-29T23:30Z"),
        ("sat 16:00", "sun 08:00", "2026-10-24T15:00Z", "2026-10-25T08:00Z"),
    ],
)
def test_a_freeze_across_a_change_of_the_clocks(
    begin: str, end: str, first: str, last: str
) -> None:
    """Spring and autumn in London; of a time that is shown twice both are in the freeze."""
    pipeline = frozen("Europe/London", (begin, end))
    begins, ends = datetime.fromisoformat(first), datetime.fromisoformat(last)
    found = [
        codes(judged(pipeline, now=now)) for now in (begins - SECOND, begins, ends - SECOND, ends)
    ]
    assert found == [[], ["frozen"], ["frozen"], []]


def test_freezes_that_leave_no_time_say_so() -> None:
    """Two windows that cover the whole week have no end to be named."""
    pipeline = frozen("Europe/London", ("mon 00:00", "fri 00:00"), ("fri 00:00", "mon 00:00"))
    (finding,) = judged(pipeline).findings
    assert finding.message == "nothing leaves at any time of the week, as promotion.yaml has it: r"
