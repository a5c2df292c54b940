"""The fields of log lines that the deployment's metrics count and measure."""

from __future__ import annotations

from collections.abc import Callable
from logging import LogRecord

import pytest

from promotion import log
from promotion.messages import Outcome
from tests.unit.shop import Shop

STAGES = {"from_stage": "fast-feedback", "to_stage": "extended-test"}


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[dict[str, object]]]:
    """The lines that have a field of this name, with all their fields."""
    caplog.set_level("INFO", "promotion")

    def logged(name: str) -> list[dict[str, object]]:
        return [log.fields_of(each) for each in caplog.records if _has(each, name)]

    return logged


def _has(record: LogRecord, name: str) -> bool:
    return name in vars(record)


def test_a_promotion_tells_its_verdict_what_was_copied_and_what_was_announced(
    shop: Shop, logged: Callable[[str], list[dict[str, object]]]
) -> None:
    """Each with the stages, and with seconds, bytes and the ways that blobs took."""
    shop.handle(shop.result(shop.push().digest))
    (announced,) = logged("announced")
    (verdict,) = logged("verdict")
    (copied,) = logged("blobs_copied")
    assert announced == {"announced": "promoted", **STAGES}
    assert verdict == {"verdict": "PROMOTE", "seconds": verdict["seconds"], **STAGES}
    assert isinstance(verdict["seconds"], float)
    assert STAGES.items() <= copied.items()
    assert {"seconds", "bytes", "blobs_mounted", "blobs_present"} <= copied.keys()


def test_an_announcement_that_has_been_made_is_not_counted_again(
    shop: Shop, logged: Callable[[str], list[dict[str, object]]]
) -> None:
    """A repeated message is judged again, and announces nothing."""
    result = shop.result(shop.push().digest)
    shop.handle(result)
    shop.handle(result)
    assert [len(logged(name)) for name in ("verdict", "announced", "blobs_copied")] == [2, 1, 1]


def test_a_denial_tells_its_stages(
    shop: Shop, logged: Callable[[str], list[dict[str, object]]]
) -> None:
    """Verdict and announcement both say which stage refused to let the image go."""
    shop.handle(shop.result(shop.push().digest, outcome=Outcome.FAILURE))
    assert logged("announced") == [{"announced": "denied", **STAGES}]
    assert [each["verdict"] for each in logged("verdict")] == ["DENY"]


def test_waiting_tells_its_stages(
    shop: Shop, logged: Callable[[str], list[dict[str, object]]]
) -> None:
    """A cancelled run leaves the image waiting; there is nothing to announce."""
    shop.handle(shop.result(shop.push().digest, outcome=Outcome.CANCEL))
    (verdict,) = logged("verdict")
    assert (verdict["verdict"], logged("announced")) == ("WAIT", [])
    assert STAGES.items() <= verdict.items()
