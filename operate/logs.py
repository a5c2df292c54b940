"""What the functions log, from Cloud Logging, as lines for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from operate.errors import OperationFailed
from operate.programs import Program
from promotion.readable import readable

FUNCTIONS = (
    'resource.type="cloud_run_revision" AND resource.labels.service_name=~"(^|-)(promote|control)$"'
)
PAUSE_SECONDS = 5.0

_MOST = 5000
# Entries arrive out of order, some of them late.
_LATENESS = timedelta(seconds=60)
_SAID_ELSEWHERE = frozenset({"message", "logger", "severity", "time", "stack_trace"})


@dataclass(frozen=True)
class Wanted:
    """Which entries.

    Attributes:
        since: When the first of them was logged.
        filter: A further condition, in Cloud Logging's language.
    """

    project: str
    since: datetime
    filter: str = ""


class _Entry(msgspec.Struct, rename="camel"):
    timestamp: datetime
    insert_id: str = ""
    severity: str = "DEFAULT"
    text_payload: str = ""
    json_payload: dict[str, Any] = {}
    http_request: dict[str, Any] = {}


def past(gcloud: Program, wanted: Wanted) -> Iterator[str]:
    """The lines of what has been logged, the oldest first.

    Raises:
        OperationFailed: gcloud did not succeed.
    """
    entries = _read(gcloud, wanted, wanted.since)
    yield from map(_line, entries)
    if len(entries) == _MOST:
        yield f"… and more than these {_MOST:,}: ask for a shorter time, or with a FILTER"


def following(
    gcloud: Program, wanted: Wanted, pause: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """The same, and then what is logged, without an end.

    Raises:
        OperationFailed: gcloud did not succeed.
    """
    since = wanted.since
    seen: dict[str, datetime] = {}
    while True:
        for entry in _read(gcloud, wanted, since):
            if entry.insert_id not in seen:
                seen[entry.insert_id] = entry.timestamp
                yield _line(entry)
        since = max(since, max(seen.values(), default=since) - _LATENESS)
        seen = {each: at for each, at in seen.items() if at >= since}
        pause(PAUSE_SECONDS)


def _read(gcloud: Program, wanted: Wanted, since: datetime) -> Sequence[_Entry]:
    # gcloud's own --freshness counts only where the newest come first.
    moment = f'timestamp>="{since.astimezone(UTC).isoformat()}"'
    conditions = [f"({each})" for each in (FUNCTIONS, wanted.filter, moment) if each]
    answer = gcloud.ask(
        "logging",
        "read",
        " AND ".join(conditions),
        f"--project={wanted.project}",
        "--order=asc",
        f"--limit={_MOST}",
        "--format=json",
    )
    if answer.status:
        raise OperationFailed(f"gcloud logging read failed: {answer.complaint.strip()}")
    return msgspec.json.decode(answer.output or "[]", type=list[_Entry])


def _line(entry: _Entry) -> str:
    moment = entry.timestamp.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    message, fields = _said(entry)
    text = f"{moment} {entry.severity:<8} {message}"
    if fields:
        text += f"  [{' '.join(f'{name}={value}' for name, value in fields.items())}]"
    if trace := entry.json_payload.get("stack_trace"):
        text += f"\n{str(trace).rstrip()}"
    return readable(text)


def _said(entry: _Entry) -> tuple[str, Mapping[str, Any]]:
    if entry.json_payload:
        fields = {
            name: value
            for name, value in entry.json_payload.items()
            if name not in _SAID_ELSEWHERE and not name.startswith("logging.googleapis.com/")
        }
        return str(entry.json_payload.get("message", "")), fields
    if entry.text_payload:
        return entry.text_payload.rstrip(), {}
    request = entry.http_request
    said = (request.get(name, "") for name in ("requestMethod", "requestUrl", "status", "latency"))
    return " ".join(str(each) for each in said if each) or "(no text)", {}
