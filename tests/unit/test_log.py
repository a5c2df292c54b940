"""Logs: what Cloud Logging and a person find on each line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from promotion import log

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger whose configuration is undone afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield logging.getLogger("promotion.test")
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_structured_line_has_the_names_that_cloud_logging_reads(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Severity and message, the scope's fields, and the fields of the line itself."""
    log.configure(log.StructuredFormatter(), "info")
    with log.scope(message_id="7", pipeline="shop"):
        log.note(image="shop:1.0")
        logger.warning("copied %s", "it", extra={"mounted": 3})
    logger.debug("not this")
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time")
    assert line == {
        "severity": "WARNING",
        "message": "copied it",
        "logger": "promotion.test",
        "message_id": "7",
        "pipeline": "shop",
        "image": "shop:1.0",
        "mounted": 3,
    }


def test_an_exception_is_one_line_with_its_trace(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Error Reporting finds the traceback in stack_trace."""
    log.configure(log.StructuredFormatter(), "INFO")
    try:
        raise ValueError("wrong")
    except ValueError:
        logger.exception("failed")
    (text,) = capsys.readouterr().err.splitlines()
    line = json.loads(text)
    assert line["severity"] == "ERROR"
    assert line["stack_trace"].startswith("Traceback (most recent call last):")
    assert line["stack_trace"].endswith("ValueError: wrong\n")


def test_a_readable_line_has_everything_too(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person reads time, level, message, fields, and a traceback below."""
    log.configure(log.ReadableFormatter(), "INFO")
    with log.scope(image="shop:1.0"):
        try:
            raise ValueError("wrong")
        except ValueError:
            logger.exception("failed")
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("ERROR   failed  [image=shop:1.0]")
    assert rest[-1] == "ValueError: wrong"


def test_a_line_for_people_holds_nothing_that_a_terminal_obeys(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it quotes may be a registry's words."""
    log.configure(log.ReadableFormatter(), "INFO")
    logger.warning("refused: %s", "\x1b[2J\r\u202egone", extra={"image": "\x1b[1m"})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert "refused: " in line


def test_the_scope_ends(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that is logged after the event carries nothing of it."""
    log.configure(log.ReadableFormatter(), "INFO")
    with log.scope(image="shop:1.0"):
        pass
    log.note(image="shop:1.0")
    logger.info("later")
    assert "shop" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Cloud-Trace-Context": f"{TRACE}/123;o=1"},
        {"x-cloud-trace-context": TRACE},
        {"Traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
    ],
)
def test_a_line_is_tied_to_its_request(headers: dict[str, str]) -> None:
    """The request's trace, in either header, becomes the field that groups lines."""
    expected = f"projects/acme/traces/{TRACE}"
    assert log.trace_fields(headers, "acme") == {"logging.googleapis.com/trace": expected}


@pytest.mark.parametrize(
    ("headers", "project"),
    [({}, "acme"), ({"traceparent": "garbage"}, "acme"), ({"traceparent": f"00-{TRACE}-1-01"}, "")],
)
def test_without_a_trace_or_a_project_there_is_no_such_field(
    headers: dict[str, str], project: str
) -> None:
    """A half-known trace would group nothing."""
    assert log.trace_fields(headers, project) == {}
