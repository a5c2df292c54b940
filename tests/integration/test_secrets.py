"""A deployment's secrets are in nothing that it writes, whether it promotes, denies or fails."""

from __future__ import annotations

import json
from pathlib import Path

import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dev import images
from dev.anonymous import anonymous_transport
from dev.pubsub import PubSub
from dev.registry import EmbeddedRegistry
from dev.services import Service, function_server
from dev.stack import DEAD_LETTERS, EVENTS, ROOT, function_environment, three_stages
from promotion.events import DENIED, PROMOTED
from promotion.keys import PrivateKey
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from tests.integration.pushing import pushed, result
from tests.marked import Marked, command_lines, files_in

_LAST_ATTEMPT = 100
_GOOGLES = "europe-docker.pkg.dev/p"
_GOOGLES_PIPELINE = f"""\
  googles:
    stages:
      first: {{registry: {_GOOGLES}, promotes_to: second, gate: {{suites: [functional]}}}}
      second: {{registry: {_GOOGLES}}}
"""


def _service_account(secrets: Marked) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": secrets.new("the account's key id"),
            "private_key": secrets.mark_key("the account's key", key.decode()),
            "client_email": "function@p.iam.gserviceaccount.com",
            "token_uri": "https://127.0.0.1:1/token",
        }
    )


def _deliver_all(
    http: urllib3.PoolManager, function: Service, registry: EmbeddedRegistry
) -> list[int]:
    """Have one image promoted, one denied, one fail, and a bad message; the statuses."""
    transport = anonymous_transport()
    place = RepositoryClient(Repository(registry.host, "shop/fast-feedback/shop"), transport)
    good, bad = (images.push_image(place, [tag.encode()], tag=tag) for tag in ("1.0", "1.1"))
    transport.close()
    return [
        http.request("POST", f"{function.url}/", json=pushed(data, _LAST_ATTEMPT)).status
        for data in (
            result(f"{place.repository}:1.0", good.digest),
            result(f"{place.repository}:1.1", bad.digest, "failure"),
            result(f"{_GOOGLES}/first/shop:1.0", good.digest),
            b"not a result",
        )
    ]


def test_a_deployment_shows_no_secret(
    pubsub: PubSub, http: urllib3.PoolManager, tmp_path: Path
) -> None:
    """Nor do the arguments of its processes, its events, dead letters, and what it signed."""
    secrets = Marked()
    key, account = tmp_path / "key.pem", tmp_path / "account.json"
    pem = secrets.mark_key("the signing key", PrivateKey.generate().to_pem().decode())
    key.write_text(pem, encoding="ascii")
    account.write_text(_service_account(secrets), encoding="ascii")
    password = secrets.new("the proxy's password").replace("/", "%2F")
    for topic in (EVENTS, DEAD_LETTERS):
        pubsub.create_topic(topic)
        pubsub.create_subscription(topic, topic)
    (tmp_path / "function").mkdir()
    with EmbeddedRegistry(tmp_path / "registry") as registry:
        text = f"{three_stages(registry.host)}{_GOOGLES_PIPELINE}signing: {{key: {key}}}\n"
        environment = {
            **function_environment(tmp_path, pubsub, text),
            "GOOGLE_APPLICATION_CREDENTIALS": str(account),
            "HTTPS_PROXY": f"http://ann:{password}@127.0.0.1:1",
            "NO_PROXY": "127.0.0.1",
            "LOG_LEVEL": "DEBUG",
            "PROMOTION_ATTEMPT_SECONDS": "30",
        }
        with function_server(ROOT, environment, tmp_path / "function") as function:
            arguments = command_lines(function.pid)
            assert _deliver_all(http, function, registry) == [200] * 4
            arguments |= command_lines(function.pid)
            events, letters = _arrived(pubsub, EVENTS, 2), _arrived(pubsub, DEAD_LETTERS, 2)
            log = function.output()
    kinds = {json.loads(event)["ce-type"] for event in events}
    assert kinds == {PROMOTED, DENIED}
    assert "No Google access token could be had" in "".join(letters)
    secrets.check(
        {
            "the log": log,
            "the events": "".join(events),
            "the dead letters": "".join(letters),
            **arguments,
            **files_in(tmp_path / "registry"),
        }
    )


def _arrived(pubsub: PubSub, subscription: str, number: int) -> list[str]:
    """So many messages, each with its attributes and data in one text."""
    arrived: list[str] = []
    while len(arrived) < number:
        more = pubsub.pull(subscription)
        assert more, f"only {len(arrived)} of {number} came"
        arrived += [
            json.dumps({**each.attributes, "data": each.data.decode(errors="replace")})
            for each in more
        ]
    return arrived
