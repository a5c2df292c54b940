"""Messages in: test results, deployments, alerts, and the request to look again.

Each kind has a form of its own; test results and deployments also come as CDEvents (v0.5), and any
of them inside a structured CloudEvent. What a message is about and what it says is all that is read
here; whether it may say so is for whoever knows the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from cloudevents.conversion import to_binary
from cloudevents.exceptions import GenericException as CloudEventError
from cloudevents.http import CloudEvent, from_json
from msgspec import Meta

from promotion import typed
from promotion.delivery import Message
from promotion.errors import BadMessage, BadReference
from promotion.events import Event
from promotion.named import named_image
from promotion.readable import readable
from promotion.registry.reference import Digest, Reference
from promotion.signals import Evaluate, Incident, read_evaluate, read_incident

LARGEST = 1024 * 1024
"""The bytes that a message may have; Pub/Sub takes ten times as many."""

REPORTED = "dev.cdeventsx.promotion-testsuite.reported.0.1.0"

_SUITE_RUN_FINISHED = "dev.cdevents.testsuiterun.finished."
_RUNS = ("dev.cdevents.service.deployed.", "dev.cdevents.service.upgraded.")
_WRONG = (ValueError, TypeError, OverflowError, RecursionError, BadReference, CloudEventError)


class Outcome(StrEnum):
    """How a suite ended, in CDEvents' words; cancel and error say nothing about the image."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCEL = "cancel"
    ERROR = "error"


@dataclass(frozen=True)
class TestResult:
    """What one run of a test suite said about one image digest."""

    __test__ = False  # not a test case, whatever its name

    image: Reference
    digest: Digest
    suite: str
    outcome: Outcome
    finished_at: datetime
    published_at: datetime
    subscription: str = ""
    ref: str = ""
    commit: str = ""
    url: str = ""


@dataclass(frozen=True)
class Deployed:
    """That an image digest runs in the stage that its name says."""

    image: Reference
    digest: Digest
    deployed_at: datetime
    published_at: datetime
    subscription: str = ""
    url: str = ""


_Text = Annotated[str, Meta(min_length=1, max_length=1024)]
_Short = Annotated[str, Meta(max_length=2048)]
_Moment = Annotated[datetime, Meta(tz=True)]
_Spelling = Literal[
    "success", "failure", "cancel", "error", "passed", "failed", "PASSED", "FAILED", "WARNED"
]
_OUTCOMES: Mapping[str, Outcome] = {
    **{str(outcome): outcome for outcome in Outcome},
    "passed": Outcome.SUCCESS,
    "PASSED": Outcome.SUCCESS,
    "WARNED": Outcome.SUCCESS,
    "failed": Outcome.FAILURE,
    "FAILED": Outcome.FAILURE,
}


class PlainResult(msgspec.Struct, kw_only=True):
    """A test result in the plain form: what a CI job publishes when a suite has finished."""

    image: Annotated[_Text, Meta(description="REGISTRY/PATH/NAME:TAG.")]
    digest: Annotated[_Text, Meta(description="What was tested: sha256:….")]
    suite: Annotated[_Text, Meta(description="The suite's name, as in the stage's gate.")]
    outcome: Annotated[_Spelling, Meta(description="How the suite ended.")]
    ref: Annotated[_Short, Meta(description="The git ref that the image was built from.")] = ""
    commit: Annotated[_Short, Meta(description="The git commit that it was built from.")] = ""
    url: Annotated[_Short, Meta(description="The run of the suite, for people.")] = ""
    finished_at: Annotated[
        _Moment | None, Meta(description="When the suite ended; default: when it was published.")
    ] = None


class PlainDeployment(msgspec.Struct, kw_only=True):
    """A deployment in the plain form: what a deployer publishes when an image runs in a stage."""

    image: Annotated[_Text, Meta(description="REGISTRY/PATH/NAME:TAG.")]
    digest: Annotated[_Text, Meta(description="What was deployed: sha256:….")]
    deployed_at: Annotated[_Moment, Meta(description="Since when it runs.")]
    url: Annotated[_Short, Meta(description="The deployment, for people.")] = ""


class _Context(msgspec.Struct):
    type: str
    timestamp: _Moment


class _Suite(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Content(msgspec.Struct, rename="camel"):
    outcome: _Spelling
    test_suite: _Suite


class _Subject(msgspec.Struct):
    content: _Content


class _CustomData(msgspec.Struct):
    image: _Text
    digest: _Text
    ref: str = ""
    commit: str = ""
    url: str = ""


class _Event(msgspec.Struct):
    context: _Context


class _Finished(msgspec.Struct, rename="camel"):
    context: _Context
    subject: _Subject
    custom_data: _CustomData


class _ServiceEvent(msgspec.Struct, rename="camel"):
    context: _Context
    custom_data: _CustomData


def parse(message: Message) -> TestResult | Deployed | Incident | Evaluate:
    """Read what a message says, whichever kind it is of.

    Raises:
        BadMessage: It is not JSON, too large, lacks a field, or a field has a value that it cannot
            have.
    """
    if len(message.data) > LARGEST:
        size = len(message.data)
        raise BadMessage(f"Not read: it has {size:,} bytes, and {LARGEST:,} are read")
    with _reading("a message of any kind"):
        content = typed.convert(_content(message), dict[str, Any])
    if "incident" in content:
        with _reading("a notification of an incident"):
            return read_incident(content, message)
    if "evaluate" in content:
        with _reading("a request to evaluate"):
            return read_evaluate(content, message)
    if "context" in content:
        return _from_event(content, message)
    if "deployed_at" in content:
        with _reading("a deployment"):
            return _deployed(typed.convert(content, PlainDeployment), message)
    with _reading("a test result"):
        return _result(typed.convert(content, PlainResult), message)


def report(result: PlainResult) -> Event:
    """The message that reports a test result, as a CloudEvent in the plain form."""
    attributes, data = to_binary(
        CloudEvent(
            {
                "source": "/promotion/publish",
                "type": REPORTED,
                "subject": result.image,
                "datacontenttype": "application/json",
            },
            msgspec.to_builtins(result),
        ),
        msgspec.json.encode,
    )
    return Event(data, attributes)


def evaluation(image: Reference, digest: Digest, statement: Digest | None = None) -> Event:
    """The message that has an image judged again, by whoever takes signals.

    Args:
        image: Its name in the stage where it is to be judged.
        digest: Of the image.
        statement: One that was attached to it there, without which it is not to be judged.
    """
    content: dict[str, object] = {"evaluate": {"image": str(image), "digest": digest}}
    if statement:
        # Not in the request itself: there an older version takes no field that it does not know.
        content["statement"] = statement
    return Event(msgspec.json.encode(content), {})


def evaluation_of_all(pipeline: str = "") -> Event:
    """The message that has all images judged again that wait: of one pipeline, or of every one."""
    content = {"evaluate": {"pipeline": pipeline} if pipeline else "all"}
    return Event(msgspec.json.encode(content), {})


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Whatever is wrong with what is read is a bad message, which says what it is not."""
    try:
        yield
    except _WRONG as error:
        # It may repeat halves of characters, which can be neither logged nor published.
        raise BadMessage(f"Not {what}: {readable(str(error))}") from error


def _content(message: Message) -> Any:
    """The message's JSON; from inside, where the message is a structured CloudEvent."""
    attributes = {name.lower(): value for name, value in message.attributes.items()}
    if attributes.get("content-type", "").startswith("application/cloudevents+json"):
        return _inside(message.data)
    return msgspec.json.decode(message.data)


def _inside(structured: bytes) -> Any:
    """The data of a structured CloudEvent, as JSON that can be written again.

    Python's own parser, by which that library reads, lets halves of characters through.
    """
    content = from_json(structured).data
    msgspec.json.encode(content)
    return content


def _from_event(content: Any, message: Message) -> TestResult | Deployed:
    """What a CDEvent says."""
    with _reading("a CDEvent"):
        kind = typed.convert(content, _Event).context.type
    if kind.startswith(_SUITE_RUN_FINISHED):
        with _reading("a test result"):
            return _result(_finished(typed.convert(content, _Finished)), message)
    if kind.startswith(_RUNS):
        with _reading("a deployment"):
            return _deployed(_runs(typed.convert(content, _ServiceEvent)), message)
    raise BadMessage(
        f"A CDEvent of type {kind} is not a test result, nor a deployment; those begin with"
        f" {', '.join((_SUITE_RUN_FINISHED, *_RUNS))}"
    )


def _finished(event: _Finished) -> PlainResult:
    suite = event.subject.content.test_suite
    return typed.convert(
        {
            **msgspec.to_builtins(event.custom_data),
            "suite": suite.id or suite.name,
            "outcome": event.subject.content.outcome,
            "finished_at": event.context.timestamp,
        },
        PlainResult,
    )


def _runs(event: _ServiceEvent) -> PlainDeployment:
    fields = {**msgspec.to_builtins(event.custom_data), "deployed_at": event.context.timestamp}
    return typed.convert(fields, PlainDeployment)


def _deployed(plain: PlainDeployment, message: Message) -> Deployed:
    image, digest = named_image(plain.image, plain.digest)
    return Deployed(
        image=image,
        digest=digest,
        deployed_at=_moment("deployed_at", plain.deployed_at, message),
        published_at=message.published_at,
        subscription=message.subscription,
        url=plain.url,
    )


def _result(plain: PlainResult, message: Message) -> TestResult:
    image, digest = named_image(plain.image, plain.digest)
    return TestResult(
        image=image,
        digest=digest,
        suite=plain.suite,
        outcome=_OUTCOMES[plain.outcome],
        finished_at=_moment("finished_at", plain.finished_at or message.published_at, message),
        published_at=message.published_at,
        subscription=message.subscription,
        ref=plain.ref,
        commit=plain.commit,
        url=plain.url,
    )


def _moment(field: str, written: datetime, message: Message) -> datetime:
    """When something was so; a moment that had not come when it was published is none."""
    moment = written.astimezone(UTC)
    if message.precedes(moment):
        raise ValueError(
            f"{field}, {moment.isoformat()}, is more than 5 minutes after the message was"
            f" published, {message.published_at.isoformat()}"
        )
    return moment
