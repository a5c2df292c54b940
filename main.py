"""The function's entry points for Cloud Run functions: requests in, statuses out, nothing else."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import flask
import functions_framework
from cloudevents.http import CloudEvent
from werkzeug.exceptions import HTTPException

from promotion import configuration, delivery, gates, log, signing
from promotion.errors import (
    BadConfiguration,
    BadMessage,
    BadReference,
    NotFound,
    NotIdentified,
    PromotionError,
    RegistryRefused,
    Retryable,
    TagMoved,
)
from promotion.evidence.store import EvidenceStore
from promotion.lookout import Lookout
from promotion.pipeline import Pipelines
from promotion.policy import Policy, PolicyKeeper
from promotion.promoter import Promoter
from promotion.publisher import topic
from promotion.receiver import Receiver
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.connections import Connections
from promotion.registry.google import GoogleDefault
from promotion.registry.realm import trusted_realms
from promotion.registry.transport import Transport
from promotion.signing import Signer

if TYPE_CHECKING:
    from promotion.control import Control
    from promotion.deadline import Deadline
    from promotion.identity import Identification
    from promotion.inventory import Inventory

_logger = logging.getLogger("promotion")

LARGEST_REQUEST = 16 * 1024 * 1024
"""The bytes that a request may have: as a push, Pub/Sub's largest message has less than 14 MiB."""


@dataclass(frozen=True)
class _Deployment:
    """What both entry points work with."""

    pipelines: Pipelines
    connections: Connections
    transport: Transport
    store: EvidenceStore
    policy: PolicyKeeper


def _deployment(environment: Mapping[str, str]) -> _Deployment:
    file = Path(environment.get("PROMOTION_CONFIG", "promotion.yaml"))
    text = configuration.read(file)
    pipelines = configuration.parse(str(file), text)
    gates.check_supported(pipelines)
    connections = Connections()
    signer, verifier = signing.signer_and_verifier(pipelines.signing, connections.fetch)
    signing.check_trusted(pipelines.signing, signer)
    if pipelines.signing is None:
        _logger.warning(
            "%s has no signing: whoever can write to a stage's repository can open its gate", file
        )
    return _Deployment(
        pipelines,
        connections,
        _transport(environment, connections),
        EvidenceStore(signer, verifier),
        PolicyKeeper(partial(_policy, text.encode(), pipelines, signer)),
    )


def _receiver(deployment: _Deployment, environment: Mapping[str, str]) -> Receiver:
    seconds = _number(environment, "PROMOTION_ATTEMPT_SECONDS", "540")
    promoter = Promoter(
        deployment.pipelines,
        deployment.transport,
        topic(environment.get("PROMOTION_EVENTS_TOPIC", "")),
        deployment.store,
        deployment.policy,
        seconds=seconds,
    )
    signals = environment.get("PROMOTION_SIGNALS_TOPIC", "")
    lookout = Lookout(
        deployment.pipelines,
        deployment.transport,
        deployment.store,
        promoter,
        partial(_inventory, deployment, environment),
        topic(signals) if signals else None,
        seconds,
    )
    return Receiver(
        promoter,
        lookout,
        dead_letters=topic(environment.get("PROMOTION_DEAD_LETTER_TOPIC", "")),
        most_attempts=_number(environment, "PROMOTION_MAX_DELIVERY_ATTEMPTS", "100"),
    )


def _inventory(
    deployment: _Deployment, environment: Mapping[str, str], deadline: Deadline
) -> Inventory:
    # Google's client is large, and needed by an evaluation alone.
    from promotion.artifact_registry import artifact_registry
    from promotion.inventory import RegistryInventory

    google = artifact_registry(environment, deployment.connections.fetch)
    return RegistryInventory(deployment.transport, google, deadline)


def _policy(text: bytes, pipelines: Pipelines, signer: Signer) -> Policy:
    return Policy(text, signing.public_keys(pipelines.signing, signer).encode())


def _transport(environment: Mapping[str, str], connections: Connections) -> Transport:
    credentials = GoogleDefault(connections.fetch)
    realms = trusted_realms(environment)
    return Transport(RegistryAuthenticator(credentials, connections.fetch, realms), connections)


def _number(environment: Mapping[str, str], name: str, default: str) -> int:
    text = environment.get(name, default)
    if not text.isdecimal():
        raise BadConfiguration(f"{name} is {text!r}, not a number")
    return int(text)


# Imports of what only people's decisions need stay inside: they would slow down every message.
@cache
def _control() -> Control:
    from promotion.control import Control

    signals = os.environ.get("PROMOTION_SIGNALS_TOPIC", "")
    return Control(
        _DEPLOYMENT.pipelines,
        _DEPLOYMENT.transport,
        _DEPLOYMENT.store,
        topic(signals) if signals else None,
    )


@cache
def _identification() -> Identification:
    from promotion.identity import GoogleToken, NamedAuthor

    if _IN_DEVELOPMENT:
        return NamedAuthor()
    audiences = os.environ.get("PROMOTION_CONTROL_AUDIENCE", "").split()
    if not audiences:
        raise BadConfiguration(
            "PROMOTION_CONTROL_AUDIENCE is not set: give the URL of this service, for which"
            " identity tokens are made"
        )
    return GoogleToken(_DEPLOYMENT.connections.fetch, audiences)


log.configure(
    log.StructuredFormatter() if "K_SERVICE" in os.environ else log.ReadableFormatter(),
    os.environ.get("LOG_LEVEL", "INFO"),
)
if flask.has_app_context():
    flask.current_app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
_IN_DEVELOPMENT = os.environ.get("PROMOTION_DEV") == "1"
try:
    _DEPLOYMENT = _deployment(os.environ)
    _RECEIVER = _receiver(_DEPLOYMENT, os.environ)
    if os.environ.get("FUNCTION_TARGET") == "control":
        _identification()
except BadConfiguration as error:
    _logger.critical("The configuration is wrong, so nothing is started:\n%s", error)
    sys.exit(1)
_TAKE = delivery.development_delivery if _IN_DEVELOPMENT else delivery.wrapped_push


@functions_framework.cloud_event
def promote(_: CloudEvent) -> None:
    """Take a Pub/Sub message. The answer's status tells Pub/Sub whether to deliver it again.

    The request itself is read, not the event that the framework makes of it: that one lacks the
    subscription and the number of the attempt.
    """
    response = _answer(flask.request)
    if response.status_code != 200:
        flask.abort(response)


@functions_framework.errorhandler(400)  # type: ignore[untyped-decorator]
@functions_framework.errorhandler(415)  # type: ignore[untyped-decorator]
def take_unconverted(_: HTTPException) -> flask.Response:
    """Take what the framework cannot convert: a message without data is a message all the same."""
    return _answer(flask.request)


def _answer(request: flask.Request) -> flask.Response:
    headers = dict(request.headers)
    message = _TAKE(request.path, headers, request.get_data())
    if message is None:
        _logger.error("refused: not a wrapped Pub/Sub push")
        return flask.Response("Only wrapped Pub/Sub push is taken here\n", 403)
    trace = log.trace_fields(headers, os.environ.get("GOOGLE_CLOUD_PROJECT", ""))
    with log.scope(message_id=message.message_id, **trace):
        try:
            _RECEIVER.receive(message)
        except Retryable as error:
            _logger.warning("to be delivered again: %s", error)
            return flask.Response("Deliver it again\n", 503)
    return flask.Response("OK\n", 200)


_STATUSES: tuple[tuple[type[PromotionError], int], ...] = (
    (BadMessage, 400),
    (BadReference, 400),
    (NotIdentified, 401),
    (NotFound, 404),
    (TagMoved, 409),
    (RegistryRefused, 503),
    (Retryable, 503),
    (PromotionError, 500),
)


@functions_framework.http
def control(request: flask.Request) -> flask.Response:
    """Take a person's decision, as JSON; the answer says what was stated, or what is wrong."""
    if request.method != "POST":
        return _json(405, {"error": "Send a decision with POST"}, Allow="POST")
    headers = dict(request.headers)
    with log.scope(**log.trace_fields(headers, os.environ.get("GOOGLE_CLOUD_PROJECT", ""))):
        try:
            return _decided(headers, request.get_data())
        except PromotionError as error:
            status = next(status for kind, status in _STATUSES if isinstance(error, kind))
            _logger.log(logging.ERROR if status == 500 else logging.WARNING, "refused: %s", error)
            return _json(status, {"error": str(error)})


def _decided(headers: Mapping[str, str], body: bytes) -> flask.Response:
    import msgspec

    from promotion import decision

    asked = decision.parse(body)
    author = _identification().author(headers, asked.author)
    return _json(200, msgspec.to_builtins(_control().decide(asked, author)))


def _json(status: int, content: object, **headers: str) -> flask.Response:
    body = json.dumps(content) + "\n"
    return flask.Response(body, status, headers, mimetype="application/json")
