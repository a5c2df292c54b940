"""A real registry lets in who shows it the right thing: by password, and by token."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import urllib3

from dev import images
from dev.services import Service, docker_registry
from promotion import cli
from promotion.errors import AccessDenied, RegistryUnavailable
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.client import RepositoryClient
from promotion.registry.credentials import (
    Anonymous,
    Credential,
    Credentials,
    GivenToken,
    IdentityToken,
    Login,
)
from promotion.registry.fetch import Answer
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from tests.integration.token_service import SERVICE, Asked, TokenService, User

LAYER = b"a layer"
DIGEST = digest_of(LAYER)
ANN = Login("ann", "correct horse")
# ANN's password by bcrypt, the only form that the registry takes; Python alone cannot make it.
HTPASSWD = "ann:$2b$04$N9qo8uLOickgx2ZMRZoMye7lwnnKjdKULIb0Soe6BjJXxCPR1R3dC\n"

ALL = frozenset({"pull", "push"})
USERS = {
    "": User(rights={"public": frozenset({"pull"})}),
    "ann": User("correct horse", "ann's refresh token", {"a": ALL, "b": ALL, "public": ALL}),
    "bob": User("secret", rights={"a": frozenset({"pull"}), "b": frozenset({"pull"})}),
    "oauth2accesstoken": User("ya29", rights={"a": ALL}),
}


class Shown:
    """One credential, for every host."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def find(self, _: str) -> Credential | None:
        """The credential."""
        return self._credential

    def renew(self, _: str) -> None:
        """There is no other."""


class Client:
    """Requests of one identity to one registry.

    Attributes:
        statuses: How each request was answered, oldest first.
    """

    def __init__(
        self, pool: urllib3.PoolManager, registry: Service, credentials: Credentials
    ) -> None:
        self._pool = pool
        self._registry = registry
        self._authenticator = RegistryAuthenticator(credentials, self._fetch)
        self.statuses: list[int] = []

    def ask(self, method: str, url: str, scopes: list[str], body: bytes = b"") -> Answer:
        """Send a request; after a 401, once more with something better to show."""
        host = self._registry.host
        header = self._authenticator.authorization(host, scopes)
        answer = self._send(method, url, header, body)
        if answer.status == 401:
            challenge = answer.headers.get("WWW-Authenticate", "")
            better = self._authenticator.renewed(host, scopes, challenge, header)
            if better is not None:
                answer = self._send(method, url, better, body)
        return answer

    def push(self, repository: str, content: bytes = LAYER) -> int:
        """Push a blob; the status of the last request that it took."""
        scopes = [f"repository:{repository}:pull,push"]
        begun = self.ask("POST", f"/v2/{repository}/blobs/uploads/", scopes)
        if begun.status != 202:
            return begun.status
        url = f"{begun.headers['Location']}&digest={digest_of(content)}"
        return self.ask("PUT", url, scopes, content).status

    def pull(self, repository: str) -> int:
        """Pull the layer; the status."""
        scopes = [f"repository:{repository}:pull"]
        return self.ask("GET", f"/v2/{repository}/blobs/{DIGEST}", scopes).status

    def mount(self, source: str, destination: str) -> int:
        """Mount the layer from one repository in another; the status."""
        path = f"/v2/{destination}/blobs/uploads/?mount={DIGEST}&from={source}"
        scopes = [f"repository:{source}:pull", f"repository:{destination}:pull,push"]
        return self.ask("POST", path, scopes).status

    def _send(self, method: str, url: str, header: str | None, body: bytes) -> Answer:
        absolute = url if url.startswith("http") else f"{self._registry.url}{url}"
        answer = self._fetch(method, absolute, {"Authorization": header} if header else {}, body)
        self.statuses.append(answer.status)
        return answer

    def _fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        got = self._pool.request(method, url, headers=headers, body=body, redirect=False)
        return Answer(got.status, got.headers, got.data)


@pytest.fixture(scope="module")
def pool() -> Iterator[urllib3.PoolManager]:
    """Connections for many threads."""
    with urllib3.PoolManager(retries=False, timeout=60.0, maxsize=16) as pool:
        yield pool


@pytest.fixture(scope="module")
def by_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A registry that wants a password with every request."""
    directory = tmp_path_factory.mktemp("by-password")
    path = directory / "htpasswd"
    path.write_text(HTPASSWD, encoding="utf-8")
    with docker_registry(
        directory, auth={"htpasswd": {"realm": "r", "path": str(path)}}
    ) as service:
        yield service


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenService]:
    """A token service."""
    with TokenService(tmp_path_factory.mktemp("tokens"), USERS) as service:
        yield service


@pytest.fixture(scope="module")
def registry(trusted: TokenService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A registry that wants tokens of the service, and has a layer in each repository."""
    with docker_registry(
        tmp_path_factory.mktemp("by-token"), auth=trusted.registry_auth
    ) as service:
        with urllib3.PoolManager(retries=False) as pool:
            ann = Client(pool, service, Shown(ANN))
            assert (ann.push("a"), ann.push("public")) == (201, 201)
        yield service


@pytest.fixture
def tokens(trusted: TokenService) -> TokenService:
    """The token service, which behaves and has not been asked for anything."""
    trusted.asked.clear()
    trusted.status, trusted.lifetime = 200, 300
    return trusted


def test_a_password_lets_in(pool: urllib3.PoolManager, by_password: Service) -> None:
    """The first answer tells that a password is wanted; from then on it goes with each request."""
    ann = Client(pool, by_password, Shown(ANN))
    assert (ann.push("a"), ann.mount("a", "b"), ann.pull("b")) == (201, 201, 200)
    assert ann.statuses == [401, 202, 201, 201, 200]


@pytest.mark.parametrize(
    "credentials",
    [Anonymous(), Shown(Login("ann", "wrong")), Shown(IdentityToken("ann's refresh token"))],
)
def test_without_the_password_the_refusal_stands(
    pool: urllib3.PoolManager, by_password: Service, credentials: Credentials
) -> None:
    """Who has no password, or a wrong one, gets the registry's 401 after two requests at most."""
    nobody = Client(pool, by_password, credentials)
    assert nobody.pull("a") == 401
    assert len(nobody.statuses) <= 2


def test_one_token_is_good_for_both_repositories(
    pool: urllib3.PoolManager, registry: Service, tokens: TokenService
) -> None:
    """A mount takes one 401 and one token, with the scope for pushing first."""
    ann = Client(pool, registry, Shown(ANN))
    assert ann.mount("a", "b") == 201
    assert ann.statuses == [401, 201]
    scopes = ("repository:b:pull,push", "repository:a:pull")
    assert tokens.asked == [Asked("GET", "ann", SERVICE, scopes, 200)]


def test_only_the_first_request_is_refused(
    pool: urllib3.PoolManager, registry: Service, tokens: TokenService
) -> None:
    """For other repositories a token is asked for in advance, and each is asked for once."""
    ann = Client(pool, registry, Shown(ANN))
    assert (ann.pull("a"), ann.push("b"), ann.pull("a"), ann.push("b")) == (200, 201, 200, 201)
    assert ann.statuses == [401, 200, 202, 201, 200, 202, 201]
    assert len(tokens.asked) == 2


def test_many_threads_take_one_token(
    pool: urllib3.PoolManager, registry: Service, tokens: TokenService
) -> None:
    """Blobs that are pushed at the same time, before anything is known, share a token."""
    ann = Client(pool, registry, Shown(ANN))
    blobs = [f"layer {number}".encode() for number in range(32)]
    with ThreadPoolExecutor(16) as executor:
        assert set(executor.map(lambda blob: ann.push("b", blob), blobs)) == {201}
    assert len(tokens.asked) == 1
    assert ann.statuses.count(401) <= 16


@pytest.mark.parametrize(
    ("credentials", "method"),
    [(Shown(IdentityToken("ann's refresh token")), "POST"), (GivenToken("ya29"), "GET")],
)
def test_other_credentials_are_good_for_a_token(
    pool: urllib3.PoolManager,
    registry: Service,
    tokens: TokenService,
    credentials: Credentials,
    method: str,
) -> None:
    """A refresh token is exchanged by OAuth 2; an access token that is not taken as it is, too."""
    client = Client(pool, registry, credentials)
    assert (client.pull("a"), client.push("a")) == (200, 201)
    assert client.statuses.count(401) == 1
    assert {(asked.method, asked.status) for asked in tokens.asked} == {(method, 200)}


def test_what_is_public_is_read_without_a_credential(
    pool: urllib3.PoolManager, registry: Service, tokens: TokenService
) -> None:
    """Nobody in particular gets a token too, for what everybody may do."""
    nobody = Client(pool, registry, Anonymous())
    assert nobody.pull("public") == 200
    assert nobody.push("public") == 401
    assert {asked.who for asked in tokens.asked} == {""}


def test_a_token_that_has_ended_is_renewed(
    pool: urllib3.PoolManager, registry: Service, tokens: TokenService
) -> None:
    """A token that the registry no longer takes, though it should, is replaced once."""
    ann = Client(pool, registry, Shown(ANN))
    tokens.lifetime = -600
    assert ann.pull("a") == 401
    tokens.lifetime = 300
    assert ann.pull("a") == 200
    assert ann.statuses == [401, 401, 401, 200]
    assert len(tokens.asked) == 2


def test_a_token_without_the_right_is_renewed_once(
    pool: urllib3.PoolManager, registry: Service, tokens: TokenService
) -> None:
    """Who may only pull gets the registry's 401 for a push, and can still pull."""
    bob = Client(pool, registry, Shown(Login("bob", "secret")))
    assert (bob.push("a"), bob.push("a"), bob.pull("a")) == (401, 401, 200)
    assert bob.statuses == [401, 401, 401, 401, 200]
    assert len(tokens.asked) == 3


def test_a_wrong_password_is_explained(
    pool: urllib3.PoolManager, registry: Service, tokens: TokenService
) -> None:
    """The token service's refusal is the error, and it is asked once."""
    with pytest.raises(AccessDenied, match="answered 401 UNAUTHORIZED: not here; check the cred"):
        Client(pool, registry, Shown(Login("ann", "wrong"))).pull("a")
    assert len(tokens.asked) == 1


def test_a_busy_token_service_is_tried_again_later(
    pool: urllib3.PoolManager, registry: Service, tokens: TokenService
) -> None:
    """Its failure passes, and the next attempt succeeds."""
    ann = Client(pool, registry, Shown(ANN))
    tokens.status = 503
    with pytest.raises(RegistryUnavailable, match="answered 503"):
        ann.pull("a")
    tokens.status = 200
    assert ann.pull("a") == 200


def test_a_registry_that_moves_its_realm_is_not_followed(
    pool: urllib3.PoolManager, tokens: TokenService, tmp_path: Path
) -> None:
    """A realm on another host is not contacted, and the error names it."""
    section = tokens.registry_auth["token"]
    assert isinstance(section, dict)
    elsewhere = {"token": {**section, "realm": "https://tokens.example/token"}}
    with docker_registry(tmp_path, auth=elsewhere) as registry:
        with pytest.raises(AccessDenied, match=r"sends its clients to tokens\.example"):
            Client(pool, registry, Shown(ANN)).pull("a")


def test_the_engine_copies_with_a_password_and_with_tokens(
    by_password: Service,
    registry: Service,
    prod_registry: Service,
    transport: Transport,
    tokens: TokenService,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What `docker login` left behind is enough to copy in, across, and inside with mounts."""
    login = {"auth": base64.b64encode(b"ann:correct horse").decode()}
    logins = {"auths": {by_password.host: login, registry.host: login}}
    (tmp_path / "config.json").write_text(json.dumps(logins), encoding="utf-8")
    open_place = RepositoryClient(Repository(prod_registry.host, "authentication"), transport)
    image = images.push_image(open_place, [b"for those who may"], tag="1.0")
    stations = [
        f"{open_place.repository}:1.0",
        f"{by_password.host}/a:1.0",
        f"{registry.host}/a:1.0",
        f"{registry.host}/b:1.0",
    ]
    for source, destination in pairwise(stations):
        arguments = ["copy", source, destination, "--json"]
        assert cli.main(arguments, {"DOCKER_CONFIG": str(tmp_path)}) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["digest"] == image.digest
    assert {blob["way"] for blob in report["blobs"]} == {"mounted"}
    both = ("repository:b:pull,push", "repository:a:pull")
    assert tokens.asked[-1].scopes == both
