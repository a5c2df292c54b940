"""What waits in a stage, found out on a real registry with the requests that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.separate import SeparateProxy, separate_proxy
from dev import images
from dev.anonymous import anonymous_transport
from dev.services import Service, docker_registry
from promotion import configuration
from promotion.artifact_registry import GoogleArtifactRegistry
from promotion.errors import AccessDenied
from promotion.inventory import RegistryInventory
from promotion.pipeline import Pipeline
from promotion.registry import catalog
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.client import RepositoryClient
from promotion.registry.connections import Connections
from promotion.registry.credentials import Anonymous, Login
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport
from promotion.waiting import waiting_in
from tests.integration.token_service import TokenService, User
from tests.unit.attached import refer

NAMES = ("api", "shop", "team/web")
VERSIONS = ("1.8.0", "1.9.0", "1.10.0", "1.11.0")


@pytest.fixture
def transport() -> Iterator[Transport]:
    """Anonymous requests, whose connections are closed afterwards."""
    transport = anonymous_transport()
    yield transport
    transport.close()


@pytest.fixture
def proxy(registry: Service) -> Iterator[SeparateProxy]:
    """Docker's registry, with a proxy before it that keeps what was asked."""
    with separate_proxy(registry.host) as proxy:
        yield proxy


def pipeline_on(host: str) -> Pipeline:
    """Two stages in a registry that has other things too."""
    text = f"""
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: {host}/waiting
        promotes_to: prod
        gate: {{suites: [functional]}}
      prod:
        registry: {host}/waiting
"""
    (pipeline,) = configuration.parse("promotion.yaml", text).pipelines
    return pipeline


def push(host: str, stage: str, name: str, version: str, transport: Transport) -> Digest:
    """Push an image, with an SBOM that a tag of its own leads to."""
    place = RepositoryClient(Repository(host, f"waiting/{stage}/{name}"), transport)
    image = images.push_image(place, [f"{name} {version}".encode()], version)
    refer(place, image, b"sbom")
    return image.digest


def look(host: str, transport: Transport) -> RegistryInventory:
    """What is there now; Google is not asked."""
    return RegistryInventory(transport, GoogleArtifactRegistry(Anonymous(), f"http://{host}"))


def test_what_waits_is_found_on_a_real_registry(
    registry: Service,
    proxy: SeparateProxy,
    transport: Transport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The catalog page by page, one list for each name of each stage, one look for what waits."""
    pushed = {
        (name, version): push(registry.host, "fast-feedback", name, version, transport)
        for name in NAMES
        for version in VERSIONS
    }
    for name in ("api", "shop"):
        push(registry.host, "prod", name, "1.10.0", transport)
    push(registry.host, "fast-feedback-of-others", "shop", "9.9.9", transport)

    monkeypatch.setattr(catalog, "_PAGE", 2)
    pipeline = pipeline_on(proxy.host)
    stage = pipeline.stages["fast-feedback"]
    found = list(waiting_in(pipeline, stage, transport, look(proxy.host, transport)))

    expected = [("api", "1.11.0"), ("shop", "1.11.0")]
    expected += [("team/web", version) for version in sorted(VERSIONS)]
    place = f"{proxy.host}/waiting/fast-feedback"
    assert [(str(each.image), each.digest) for each in found] == [
        (f"{place}/{name}:{version}", pushed[name, version]) for name, version in expected
    ]
    asked = [f"{each.method} {each.path.partition('?')[0]}" for each in proxy.exchanges()]
    kinds = ("_catalog", "/tags/list", "/manifests/1.")
    catalogs, lists, looks = (sum(kind in each for each in asked) for kind in kinds)
    assert catalogs >= 3
    assert lists == len(NAMES) + 2
    assert looks == len(expected)
    assert catalogs + lists + looks == len(asked)
    assert sum(each.startswith("HEAD") for each in asked) == looks


def test_the_catalog_takes_a_right_of_its_own(tmp_path: Path) -> None:
    """A token for it is asked for; who is not given one reads which right is missing."""
    users = {"ann": User("secret", rights={"catalog": frozenset({"*"})}), "bob": User("secret")}
    with TokenService(tmp_path, users) as tokens:
        with docker_registry(tmp_path, auth=tokens.registry_auth) as registry:
            with closing(identity("ann")) as ann, closing(identity("bob")) as bob:
                assert catalog.repositories(registry.host, ann) == []
                assert tokens.asked[-1].scopes == ("registry:catalog:*",)
                with pytest.raises(AccessDenied, match=r"scope registry:catalog:\*"):
                    catalog.repositories(registry.host, bob)


class _Password:
    """One user's password, for every host."""

    def __init__(self, user: str) -> None:
        self._login = Login(user, "secret")

    def find(self, _: str) -> Login:
        """The password."""
        return self._login

    def renew(self, _: str) -> None:
        """There is no other."""


def identity(user: str) -> Transport:
    """Requests of a user."""
    connections = Connections()
    return Transport(RegistryAuthenticator(_Password(user), connections.fetch), connections)
