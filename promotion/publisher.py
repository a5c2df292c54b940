"""Where events go: a Pub/Sub topic, or the log where no topic is configured."""

from __future__ import annotations

import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

from promotion.errors import PublishFailed
from promotion.events import Event
from promotion.registry import request_log

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient

_logger = logging.getLogger(__name__)

_PUBLISH_SECONDS = 30
_PUBLISH = "google.pubsub.v1.Publisher.Publish"


class Topic(Protocol):
    """Takes events; when ``publish`` returns, the event is durable."""

    def prepare(self) -> None:
        """Get ready in the background: an event may be coming soon."""

    def publish(self, event: Event) -> str:
        """Hand over an event and return its id in the topic.

        Raises:
            PublishFailed: The topic did not confirm it.
        """


class PubSubTopic:
    """A topic of Google Cloud Pub/Sub, or of its emulator where PUBSUB_EMULATOR_HOST is set."""

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self) -> None:
        """Load the client beside whatever the caller does meanwhile.

        The client library takes half a second and 40 MiB to load, which only a process that
        publishes should pay; loaded before the server forks, it would also carry threads across.
        """
        threading.Thread(target=_client.get, daemon=True, name="load-pubsub").start()

    def publish(self, event: Event) -> str:
        """Publish an event and wait for Pub/Sub's confirmation.

        Raises:
            PublishFailed: Pub/Sub refused it, or did not answer within 30 seconds; or it is larger
                than anything that Pub/Sub takes.
        """
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
        from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError

        try:
            with request_log.called(_PUBLISH, self.name):
                future = _client.get().publish(self.name, event.data, **event.attributes)
                return str(future.result(timeout=_PUBLISH_SECONDS))
        except MessageTooLargeError as error:
            raise PublishFailed(f"Could not publish to {self.name}: {error}") from error
        except DefaultCredentialsError as error:
            raise PublishFailed(
                f"Could not publish to {self.name}: there are no credentials; run"
                " `gcloud auth application-default login`"
            ) from error
        except (GoogleAPIError, GoogleAuthError, TimeoutError) as error:
            raise PublishFailed(
                f"Could not publish to {self.name}: {error or 'no answer'}; check that the topic"
                " exists and that this identity has roles/pubsub.publisher on it"
            ) from error


class LoggedTopic:
    """Writes events to the log: what is left where no topic is configured."""

    def prepare(self) -> None:
        """Nothing to do."""

    def publish(self, event: Event) -> str:
        """Log an event."""
        content = {"attributes": event.attributes, "data": _readable(event.data)}
        _logger.info("event %s", json.dumps(content, ensure_ascii=False))
        return ""


def topic(name: str) -> Topic:
    """The topic with that full name; the log, if the name is empty."""
    return PubSubTopic(name) if name else LoggedTopic()


def _readable(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="replace")


class _Client:
    """The process's one publisher client, made on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: PublisherClient | None = None

    def get(self) -> PublisherClient:
        with self._lock:
            if self._client is None:
                # gRPC's own fork handlers and log lines are for programs that fork later.
                os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
                from google.cloud import pubsub_v1

                one_at_a_time = pubsub_v1.types.BatchSettings(max_messages=1)
                self._client = pubsub_v1.PublisherClient(one_at_a_time)
            return self._client


_client = _Client()
