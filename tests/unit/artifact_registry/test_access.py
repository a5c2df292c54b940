"""Who may do what on Artifact Registry's profile: access tokens, issued tokens, rights."""

from __future__ import annotations

import pytest

from dev.artifact_registry import Answers
from tests.unit.artifact_registry.asking import DESTINATION, SOURCE, As, Serve, exchange, refusal
from tests.unit.wire import ABSENT, LAYER, image

# Who asks


def test_access_token(serve: Serve, client: As) -> None:
    """An access token sent with the first request is all that reading and writing take."""
    registry = serve()
    operator = client(registry, "operator")
    operator.push_image(DESTINATION, "1.0")
    assert operator.ask("GET", f"/v2/{DESTINATION}/manifests/1.0").data == image(LAYER)
    assert not [served for served in registry.served if served.status >= 400]
    assert not [served for served in registry.served if "token" in served.path]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "manifests/1.0", "pull"),
        ("HEAD", f"blobs/{ABSENT}", "pull"),
        ("GET", "tags/list", "pull"),
        ("GET", f"referrers/{ABSENT}", "pull"),
        ("POST", "blobs/uploads/", "pull,push"),
        ("PUT", "manifests/1.0", "pull,push"),
        ("DELETE", "manifests/1.0", "pull,push"),
    ],
)
def test_no_token(serve: Serve, client: As, method: str, path: str, scope: str) -> None:
    """Who shows nothing is told where to get a token, and for what scope."""
    registry = serve()
    answer = client(registry, "").ask(method, f"/v2/{DESTINATION}/{path}")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="http://{registry.host}/v2/token",service="{registry.host}"'
        f',scope="repository:{DESTINATION}:{scope}"'
    )


def test_no_token_at_the_base(serve: Serve, client: As) -> None:
    """At the base of the API there is no scope to ask for."""
    registry = serve()
    answer = client(registry, "").ask("GET", "/v2/")
    assert refusal(answer)[:2] == (401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"] == f'Bearer realm="http://{registry.host}/v2/token"'


@pytest.mark.parametrize("challenged", [True, False])
def test_unknown_token(serve: Serve, client: As, challenged: bool) -> None:
    """A token that is not accepted is refused, with a challenge or without."""
    registry = serve(Answers(unknown_token_is_challenged=challenged))
    answer = client(registry, "stolen").ask("GET", f"/v2/{SOURCE}/tags/list")
    assert refusal(answer)[:2] == (401, "UNAUTHORIZED")
    assert ("WWW-Authenticate" in answer.headers) is challenged


def test_token_that_expires(serve: Serve, client: As) -> None:
    """A token can expire between two requests, and another be accepted."""
    registry = serve()
    developer = client(registry, "developer")
    location = developer.begin(SOURCE)
    registry.access.expire("developer")
    assert developer.ask("POST", f"/v2/{SOURCE}/blobs/uploads/").status == 401
    registry.access.accept("renewed", {"acme-dev/shop": "writer"})
    assert client(registry, "renewed").begin(SOURCE) != location


def test_base(serve: Serve, client: As) -> None:
    """The base of the API answers with an empty page."""
    answer = client(serve()).ask("GET", "/v2/")
    assert (answer.status, answer.data) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


# The token endpoint


@pytest.mark.parametrize("bearer_token_writes", [True, False])
def test_exchange(serve: Serve, client: As, bearer_token_writes: bool) -> None:
    """An access token shown as a password gets a token for the scopes, which reads and writes."""
    registry = serve(Answers(bearer_token_writes=bearer_token_writes))
    promoter = client(registry)
    scopes = [f"repository:{DESTINATION}:pull,push", f"repository:{SOURCE}:pull"]
    issued = exchange(promoter, "oauth2accesstoken", "promoter", *scopes).json()
    assert issued["expires_in"] > 0
    assert promoter.authorized(issued["token"]).push_image(DESTINATION, "1.0")


def test_access_token_that_only_reads(serve: Serve, client: As) -> None:
    """If access tokens are good for reading only, a write with one is challenged."""
    registry = serve(Answers(bearer_token_writes=False))
    promoter = client(registry)
    assert promoter.ask("GET", "/v2/").status == 200
    assert promoter.ask("HEAD", f"/v2/{SOURCE}/manifests/1.0").status == 404
    for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/1.0")):
        answer = promoter.ask(method, f"/v2/{DESTINATION}/{path}")
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].endswith(':pull,push"')


@pytest.mark.parametrize(
    ("username", "password"),
    [("oauth2accesstoken", "stolen"), ("promoter", "promoter"), ("_json_key", "{}")],
)
def test_exchange_of_nothing_good(serve: Serve, client: As, username: str, password: str) -> None:
    """Other credentials than an accepted token get no token."""
    answer = exchange(client(serve()), username, password)
    assert refusal(answer) == (401, "UNAUTHORIZED", "authentication failed")


def test_exchange_for_too_much(serve: Serve, client: As) -> None:
    """No token is issued if one of its scopes is not granted."""
    scopes = f"repository:{DESTINATION}:pull,push%20repository:{SOURCE}:pull,push"
    answer = exchange(client(serve()), "oauth2accesstoken", "promoter", scopes)
    assert refusal(answer) == (
        403,
        "DENIED",
        'Permission "artifactregistry.repositories.uploadArtifacts" denied on resource'
        ' "projects/acme-dev/locations/europe-west1/repositories/shop" (or it may not exist)',
    )


def test_exchange_by_nobody(serve: Serve, client: As) -> None:
    """Without credentials there is a token for nothing, and none for a repository."""
    nobody = client(serve(), "")
    denied = exchange(nobody, "", "", f"repository:{SOURCE}:pull")
    token = exchange(nobody, "", "").json()["token"]
    assert nobody.authorized(token).ask("GET", "/v2/").status == 200
    for answer in (denied, nobody.authorized(token).ask("GET", f"/v2/{SOURCE}/tags/list")):
        assert refusal(answer) == (
            403,
            "DENIED",
            "Unauthenticated request. Unauthenticated requests do not have permission"
            ' "artifactregistry.repositories.downloadArtifacts" on resource'
            ' "projects/acme-dev/locations/europe-west1/repositories/shop" (or it may not exist)',
        )


@pytest.mark.parametrize(("bound", "status"), [(True, 401), (False, 202)])
def test_scopes_of_an_issued_token(serve: Serve, client: As, bound: bool, status: int) -> None:
    """An issued token is good for its scopes, or for whatever its owner may do."""
    promoter = client(serve(Answers(issued_token_has_scopes=bound)))
    scope = f"repository:{SOURCE}:pull"
    issued = exchange(promoter, "oauth2accesstoken", "promoter", scope).json()["token"]
    reader = promoter.authorized(issued)
    assert reader.ask("HEAD", f"/v2/{SOURCE}/manifests/1.0").status == 404
    assert reader.ask("POST", f"/v2/{DESTINATION}/blobs/uploads/").status == status


def test_issued_token_dies_with_its_access_token(serve: Serve, client: As) -> None:
    """What was issued for a token is not accepted any longer than the token."""
    registry = serve()
    promoter = client(registry)
    issued = exchange(promoter, "oauth2accesstoken", "promoter").json()["token"]
    registry.access.expire("promoter")
    assert promoter.authorized(issued).ask("GET", "/v2/").status == 401


# Rights


@pytest.mark.parametrize(
    ("token", "method", "path", "permission"),
    [
        ("developer", "GET", f"{DESTINATION}/manifests/1.0", "downloadArtifacts"),
        ("operator", "HEAD", f"{SOURCE}/blobs/{ABSENT}", ""),
        ("promoter", "POST", f"{SOURCE}/blobs/uploads/", "uploadArtifacts"),
        ("promoter", "PUT", f"{SOURCE}/manifests/1.0", "uploadArtifacts"),
        ("promoter", "POST", "acme-prod/other/app/blobs/uploads/", "uploadArtifacts"),
        ("operator", "DELETE", f"{DESTINATION}/manifests/1.0", "deleteArtifacts"),
    ],
)
def test_denied(
    serve: Serve, client: As, token: str, method: str, path: str, permission: str
) -> None:
    """What no role allows is refused, in words that name the permission and the repository."""
    answer = client(serve(location="us"), token).ask(method, f"/v2/{path}")
    assert answer.status == 403
    if method == "HEAD":
        return
    project, repository, *_ = path.split("/")
    resource = f"projects/{project}/locations/us/repositories/{repository}"
    assert refusal(answer) == (
        403,
        "DENIED",
        f'Permission "artifactregistry.repositories.{permission}" denied on resource'
        f' "{resource}" (or it may not exist)',
    )


def test_allowed(serve: Serve, client: As) -> None:
    """A role in a project is one in all its repositories, and the greater one counts."""
    registry = serve()
    client(registry, "operator").push_image(DESTINATION, "1.0")
    keeper = client(registry, "keeper")
    assert keeper.ask("GET", f"/v2/{DESTINATION}/tags/list").status == 200
    assert keeper.ask("DELETE", f"/v2/{DESTINATION}/manifests/1.0").status == 202
