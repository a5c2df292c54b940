"""The function's entry points for Cloud Run functions: requests in, statuses out, nothing else."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import flask
import functions_framework
from cloudevents.http import CloudEvent
from werkzeug.exceptions import HTTPException

from promotion import configuration, delivery, gates, log, signing
from promotion.errors import BadConfiguration, Retryable
from promotion.evidence.store import EvidenceStore
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

_logger = logging.getLogger("promotion")


def _receiver(environment: Mapping[str, str]) -> Receiver:
    file = Path(environment.get("PROMOTION_CONFIG", "promotion.yaml"))
    pipelines = configuration.load(file)
    gates.check_supported(pipelines)
    connections = Connections()
    signer, verifier = signing.signer_and_verifier(pipelines.signing, connections.fetch)
    signing.check_trusted(pipelines.signing, signer)
    if pipelines.signing is None:
        _logger.warning(
            "%s has no signing: whoever can write to a stage's repository can open its gate", file
        )
    promoter = Promoter(
        pipelines,
        _transport(environment, connections),
        topic(environment.get("PROMOTION_EVENTS_TOPIC", "")),
        EvidenceStore(signer, verifier),
        PolicyKeeper(partial(_policy, file.read_bytes(), pipelines, signer)),
        seconds=_number(environment, "PROMOTION_ATTEMPT_SECONDS", "540"),
    )
    return Receiver(
        promoter,
        dead_letters=topic(environment.get("PROMOTION_DEAD_LETTER_TOPIC", "")),
        most_attempts=_number(environment, "PROMOTION_MAX_DELIVERY_ATTEMPTS", "100"),
    )


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


log.configure(
    log.StructuredFormatter() if "K_SERVICE" in os.environ else log.ReadableFormatter(),
    os.environ.get("LOG_LEVEL", "INFO"),
)
try:
    _RECEIVER = _receiver(os.environ)
except BadConfiguration as error:
    _logger.critical("The configuration is wrong, so nothing is started:\n%s", error)
    sys.exit(1)
_TAKE = (
    delivery.development_delivery
    if os.environ.get("PROMOTION_DEV") == "1"
    else delivery.wrapped_push
)


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
