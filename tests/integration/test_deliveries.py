"""What the function answers to requests of every form, on the framework's production server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import urllib3

from dev.services import Service, function_server
from dev.stack import RESULTS, ROOT, Stack, function_environment, three_stages
from tests.integration.busybox import Busybox
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, Shop, encode, wrapped

JSON = {"Content-Type": "application/json"}
FORMS = ["binary CloudEvent", "structured CloudEvent", "Eventarc", "push without wrapper"]


def request(form: str, result: object, stack: Stack) -> tuple[Mapping[str, str], object]:
    """The headers and the body that bring a result in a form other than wrapped push."""
    cloud_event = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "tested"}
    pushed = {
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "source": f"//pubsub.googleapis.com/projects/{stack.pubsub.project}/topics/{RESULTS}",
    }
    forms: dict[str, tuple[Mapping[str, str], object]] = {
        "binary CloudEvent": (JSON | as_headers(cloud_event), result),
        "structured CloudEvent": (
            {"Content-Type": "application/cloudevents+json"},
            {**cloud_event, "data": result},
        ),
        "Eventarc": (
            JSON | as_headers(cloud_event | pushed),
            wrapped(encode(result), {}, stack.pubsub.project),
        ),
        "push without wrapper": (
            {
                "Content-Type": "application/x-www-form-urlencoded",
                "x-goog-pubsub-message-id": "1",
                "x-goog-pubsub-publish-time": "2026-01-31T12:00:00Z",
                "x-goog-pubsub-subscription-name": "projects/any/subscriptions/results",
            },
            result,
        ),
    }
    return forms[form]


def as_headers(cloud_event: Mapping[str, str]) -> dict[str, str]:
    """A CloudEvent's attributes in HTTP's binary mode."""
    return {f"ce-{name}": value for name, value in cloud_event.items()}


@pytest.fixture(scope="module")
def development_function(
    registry: Service,
    prod_registry: Service,
    stack: Stack,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """The function with PROMOTION_DEV=1, for a pipeline that takes results from anywhere."""
    folder = tmp_path_factory.mktemp("development")
    stages = three_stages(registry.host, prod_registry.host)
    settings = function_environment(folder, stack.pubsub, stages) | {"PROMOTION_DEV": "1"}
    with function_server(ROOT, settings, folder) as function:
        yield function


@pytest.mark.parametrize("form", FORMS)
def test_forgeable_form_in_production(shop: Shop, busybox: Busybox, form: str) -> None:
    """A form whose headers a publisher could write is refused, without any effect."""
    result = shop.result(busybox.push(shop.image(FAST_FEEDBACK)))
    headers, body = request(form, result, shop.stack)
    assert shop.post(body, headers) == 403
    assert shop.events.rest() == shop.dead_letters.rest() == []
    assert shop.digest(EXTENDED_TEST) is None


@pytest.mark.parametrize("form", FORMS)
def test_forgeable_form_in_development(
    shop: Shop, busybox: Busybox, form: str, development_function: Service
) -> None:
    """With PROMOTION_DEV=1 the same request promotes."""
    digest = busybox.push(shop.image(FAST_FEEDBACK))
    headers, body = request(form, shop.result(digest), shop.stack)
    assert shop.post(body, headers, development_function) == 200
    assert shop.events.next().attributes["verdict"] == "PROMOTE"
    assert shop.digest(EXTENDED_TEST) == digest


def test_wrapped_push_in_development(
    shop: Shop, busybox: Busybox, development_function: Service
) -> None:
    """With PROMOTION_DEV=1 wrapped push is taken too."""
    result = shop.result(busybox.push(shop.image(FAST_FEEDBACK)))
    body = wrapped(encode(result), {}, shop.stack.pubsub.project)
    assert shop.post(body, JSON, development_function) == 200
    assert shop.events.next().attributes["verdict"] == "PROMOTE"


def test_push_without_data(shop: Shop) -> None:
    """A message of attributes alone, which the framework cannot convert, is put aside."""
    body = wrapped(b"", {"shop": shop.name}, shop.stack.pubsub.project)
    del body["message"]["data"]
    assert shop.post(body, JSON) == 200
    letter = shop.dead_letters.next()
    assert letter.data == b""
    assert letter.attributes["promotion-dlq-class"] == "permanent"


def test_push_without_content_type(shop: Shop, busybox: Busybox) -> None:
    """A push counts by its body, whatever its Content-Type."""
    result = shop.result(busybox.push(shop.image(FAST_FEEDBACK)))
    body = wrapped(encode(result), {}, shop.stack.pubsub.project)
    assert shop.post(body, {}) == 200
    assert shop.events.next().attributes["verdict"] == "PROMOTE"


@pytest.mark.parametrize("body", [b"", b"passed", b"[]", b"7", b'{"message": {}}'])
@pytest.mark.parametrize("headers", [JSON, {"Content-Type": "application/cloudevents+json"}, {}])
def test_no_push_at_all(shop: Shop, body: bytes, headers: Mapping[str, str]) -> None:
    """What is no push is refused, in a way that Pub/Sub would not take for an acknowledgement."""
    assert shop.post(body, headers) == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods(stack: Stack, http: urllib3.PoolManager, method: str) -> None:
    """The function takes nothing but posts."""
    assert http.request(method, f"{stack.function.url}/").status == 405
