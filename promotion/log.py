"""Logs: JSON lines as Cloud Logging and Error Reporting read them, or text for a terminal.

What ``scope`` is given, and what ``note`` adds while it lasts, stands on each line that is logged
in it, on the same thread or on a thread that a task was handed to.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from promotion.readable import readable

REQUESTS = "promotion.requests"
"""The name under which each HTTP request is logged, at level DEBUG."""

_scope: ContextVar[dict[str, Any] | None] = ContextVar("log_scope", default=None)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TRACE = re.compile(r"(?:00-)?([0-9a-f]{32})(?:[-/].*)?")


@contextmanager
def scope(**fields: Any) -> Iterator[None]:
    """Put these fields on every line that is logged inside."""
    token = _scope.set(fields)
    try:
        yield
    finally:
        _scope.reset(token)


def note(**fields: Any) -> None:
    """Put these fields on every line that is logged from now on, to the end of the scope."""
    known = _scope.get()
    if known is not None:
        known.update(fields)


def trace_fields(headers: Mapping[str, str], project: str) -> dict[str, str]:
    """The field that ties a line to its request's trace, from the request's headers.

    Cloud Logging wants the project in it; without one there is no such field.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    header = lower.get("traceparent") or lower.get("x-cloud-trace-context") or ""
    match = _TRACE.fullmatch(header)
    if not match or not project:
        return {}
    return {"logging.googleapis.com/trace": f"projects/{project}/traces/{match[1]}"}


def configure(formatter: logging.Formatter, level: str) -> None:
    """Log to standard error, from this level upwards, in this form."""
    handler = _StandardError()
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for chatty in ("urllib3", "google", "grpc", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what is standard error by then: above progress, while a terminal shows some."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class StructuredFormatter(logging.Formatter):
    """One JSON object a line, with the names that Cloud Logging gives a meaning to."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object."""
        line = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "message": record.getMessage(),
            "logger": record.name,
            **fields_of(record),
        }
        if record.exc_info:
            line["stack_trace"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str, ensure_ascii=False)


class ReadableFormatter(logging.Formatter):
    """Time, level, message, and the fields behind it: for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of text, with a traceback below where there is one."""
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = " ".join(f"{name}={value}" for name, value in fields_of(record).items())
        line = f"{time} {record.levelname:<7} {record.getMessage()}"
        if fields:
            line += f"  [{fields}]"
        if record.exc_info:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        # A registry may have written some of it, and a terminal may be what shows it.
        return readable(line)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of the scope, and those given with the record itself."""
    own = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {**(_scope.get() or {}), **own}
