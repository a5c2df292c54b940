"""The profile answers as Artifact Registry is documented to, and either way where it is not."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import fields
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal

import pytest
import urllib3
from urllib3.util import make_headers

from dev.artifact_registry import Answers, ArtifactRegistry, Grants, Quota
from dev.registry import Served
from dev.services import MissingPart
from tests.unit.wire import (
    ABSENT,
    CONFIG,
    CONFIG_TYPE,
    IMAGE,
    INDEX,
    LAYER,
    Client,
    descriptor,
    digest_of,
    image,
)

SOURCE = "acme-dev/shop/app"
DESTINATION = "acme-prod/shop/app"
TOKENS: dict[str, Grants] = {
    "promoter": {"acme-dev": "reader", "acme-prod/shop": "writer"},
    "developer": {"acme-dev/shop": "writer"},
    "operator": {"acme-prod/shop": "writer"},
    "keeper": {"acme-prod": "repoAdmin"},
}
HTML = "text/html; charset=UTF-8"
EXCEEDED = "Quota exceeded for quota metric 'Requests per project per region'"

Serve = Callable[..., ArtifactRegistry]
As = Callable[..., Client]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a registry with other answers than the usual, or other options."""
    with ExitStack() as stack:

        def start(answers: Answers | None = None, **options: Any) -> ArtifactRegistry:
            registry = ArtifactRegistry(
                tmp_path / "registry", tokens=TOKENS, answers=answers, **options
            )
            return stack.enter_context(registry)

        yield start


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    """A client that tries once."""
    with urllib3.PoolManager(retries=False, timeout=5.0) as pool:
        yield pool


@pytest.fixture
def client(pool: urllib3.PoolManager) -> As:
    """Speaks to a registry, for the promoter or for somebody else."""

    def speak(registry: ArtifactRegistry, token: str = "promoter") -> Client:
        return Client(pool, registry.host, token)

    return speak


def refusal(answer: urllib3.BaseHTTPResponse) -> tuple[int, str, str]:
    """Read an answer that has to be one error."""
    assert answer.headers["Content-Type"] == "application/json"
    (error,) = answer.json()["errors"]
    return answer.status, error["code"], error["message"]


def exchange(client: Client, username: str, password: str, *scopes: str) -> Any:
    """Ask the token endpoint."""
    credentials = make_headers(basic_auth=f"{username}:{password}") if username else {}
    query = "&".join(f"scope={scope}" for scope in scopes)
    headers = {key.title(): value for key, value in credentials.items()}
    return client.authorized("").ask("GET", f"/v2/token?service=&{query}", headers=headers)


def ask_raw(
    registry: ArtifactRegistry, method: str, path: str, **headers: str
) -> tuple[int, str | None]:
    """Send a request without a header or an escape more; the answer is its status and type."""
    with closing(HTTPConnection(registry.host)) as connection:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"]


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


# The front end


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_no_length(serve: Serve, method: str) -> None:
    """A request that may have a body says how long it is, or gets a page for people."""
    registry = serve()
    path = f"/v2/{DESTINATION}/blobs/uploads/"
    authorized = {"Authorization": "Bearer operator"}
    assert ask_raw(registry, method, path, **authorized) == (411, HTML)
    assert ask_raw(registry, "GET", "/v2/", **authorized)[0] == 200
    assert ask_raw(registry, "POST", path, Content_Length="0", **authorized)[0] == 202


@pytest.mark.parametrize("path", ["acme-dev/shop/a|b/tags/list", "acme-dev/Shop/a/manifests/1.0"])
def test_malformed_name(serve: Serve, path: str) -> None:
    """A name that cannot be one gets a page for people, and no error at all."""
    assert ask_raw(serve(), "GET", f"/v2/{path}") == (200, HTML)


def test_name_without_a_repository(serve: Serve, client: As) -> None:
    """An image is in a repository of a project."""
    answer = client(serve(), "").ask("GET", "/v2/app/manifests/1.0")
    assert refusal(answer) == (400, "NAME_INVALID", "invalid number of path components: 1")


# Uploads


@pytest.mark.parametrize("elsewhere", [True, False])
def test_upload(serve: Serve, client: As, elsewhere: bool) -> None:
    """A blob is sent with one PUT to where the upload goes on; outside /v2/ nobody asks who."""
    registry = serve(Answers(upload_session_elsewhere=elsewhere))
    operator = client(registry, "operator")
    location = operator.begin(DESTINATION)
    folder = "/artifacts-uploads/namespaces/acme-prod/repositories/shop/uploads/"
    assert location.startswith(folder if elsewhere else f"/v2/{DESTINATION}/blobs/uploads/")
    target = f"{location}?digest={digest_of(LAYER)}"
    if not elsewhere:
        assert operator.authorized("").ask("PUT", target, LAYER).status == 401
    sender = operator.authorized("" if elsewhere else "operator")
    assert sender.ask("PUT", target, LAYER).status == 201
    assert operator.ask("HEAD", f"/v2/{DESTINATION}/blobs/{digest_of(LAYER)}").status == 200


@pytest.mark.parametrize("elsewhere", [True, False])
def test_upload_with_patch(serve: Serve, client: As, elsewhere: bool) -> None:
    """A blob is sent with one PATCH, and closed where its answer says."""
    registry = serve(Answers(upload_session_elsewhere=elsewhere))
    operator = client(registry, "operator")
    sent = operator.ask("PATCH", operator.begin(DESTINATION), LAYER)
    assert sent.status == 202
    location = sent.headers["Location"]
    assert location.startswith("/v2/acme-prod/shop/pkg/blobs/uploads/") is elsewhere
    assert operator.ask("PUT", f"{location}?digest={digest_of(LAYER)}").status == 201
    assert operator.ask("HEAD", f"/v2/{DESTINATION}/blobs/{digest_of(LAYER)}").status == 200


def test_chunks(serve: Serve, client: As) -> None:
    """A blob in pieces is refused, at whichever piece it shows."""
    operator = client(serve(), "operator")
    location = operator.begin(DESTINATION)
    ranged = {"Content-Range": "0-20"}
    whole = f"?digest={digest_of(LAYER)}"
    refused = [
        operator.ask("PATCH", location, LAYER, ranged),
        operator.ask("PUT", location + whole, LAYER, ranged),
    ]
    first = operator.ask("PATCH", location, LAYER[:5])
    for following in (location, first.headers["Location"]):
        refused.append(operator.ask("PATCH", following, LAYER[5:]))
        refused.append(operator.ask("PUT", following + whole, LAYER[5:]))
    assert {refusal(answer)[:2] for answer in refused} == {(405, "UNSUPPORTED")}


@pytest.mark.parametrize(("accepted", "status"), [(False, 411), (True, 202)])
def test_transfer_encoding(serve: Serve, client: As, accepted: bool, status: int) -> None:
    """A body in chunked transfer-encoding is refused, or taken in."""
    operator = client(serve(Answers(transfer_encoding=accepted)), "operator")
    location = operator.begin(DESTINATION)
    assert operator.ask("PATCH", location, iter([LAYER[:5], LAYER[5:]])).status == status


def test_upload_of_something_else(serve: Serve, client: As) -> None:
    """A blob that is not what its digest says is refused, and its upload is over."""
    operator = client(serve(), "operator")
    target = f"{operator.begin(DESTINATION)}?digest={ABSENT}"
    assert refusal(operator.ask("PUT", target, LAYER))[:2] == (400, "DIGEST_INVALID")
    assert operator.ask("PUT", target, LAYER).status == 404


def test_paths_that_were_not_given_out(serve: Serve, client: As) -> None:
    """Nothing is where no answer pointed to, and each path is for one thing only."""
    operator = client(serve(), "operator")
    location = operator.begin(DESTINATION)
    assert operator.ask("GET", location).status == 405
    assert operator.ask("PUT", f"{location}x?digest={ABSENT}", LAYER).status == 404
    downloads = "/artifacts-downloads/namespaces/acme-prod/repositories/shop/downloads"
    assert operator.ask("GET", f"{downloads}/guess").status == 404


# Downloads


@pytest.mark.parametrize("status", [302, 307])
def test_download(serve: Serve, client: As, status: Literal[302, 307]) -> None:
    """A download is somewhere else on the same host, where nobody asks who, whole or in part."""
    registry = serve(Answers(blob_redirect=status))
    developer = client(registry, "developer")
    digest = developer.push_blob(SOURCE, LAYER)
    answer = client(registry).ask("GET", f"/v2/{SOURCE}/blobs/{digest}")
    location = answer.headers["Location"]
    assert (answer.status, answer.data) == (status, b"")
    assert location.startswith(
        "/artifacts-downloads/namespaces/acme-dev/repositories/shop/downloads/"
    )
    nobody = client(registry, "")
    assert nobody.ask("GET", location).data == LAYER
    part = nobody.ask("GET", location, headers={"Range": "bytes=5-"})
    assert (part.status, part.data) == (206, LAYER[5:])


def test_look_at_a_blob(serve: Serve, client: As) -> None:
    """HEAD answers at once, and what is not there is nowhere else either."""
    registry = serve()
    digest = client(registry, "developer").push_blob(SOURCE, LAYER)
    promoter = client(registry)
    head = promoter.ask("HEAD", f"/v2/{SOURCE}/blobs/{digest}")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(LAYER)))
    assert promoter.ask("GET", f"/v2/{SOURCE}/blobs/{ABSENT}").status == 404


@pytest.mark.parametrize(("refused", "status"), [(True, 400), (False, 200)])
def test_download_with_authorization(serve: Serve, client: As, refused: bool, status: int) -> None:
    """An Authorization header that follows the redirect is recorded, and can be refused."""
    registry = serve(Answers(download_refuses_authorization=refused))
    digest = client(registry, "developer").push_blob(SOURCE, LAYER)
    promoter = client(registry)
    location = promoter.ask("GET", f"/v2/{SOURCE}/blobs/{digest}").headers["Location"]
    assert promoter.authorized("").ask("GET", location).status == 200
    assert promoter.ask("GET", location).status == status
    assert registry.served[-2:] == [
        Served("GET", location, 200, ""),
        Served("GET", location, status, "Bearer"),
    ]


# Mounts


def mount(client: Client, digest: str, source: str | None, repository: str = DESTINATION) -> int:
    """Ask for a mount."""
    query = f"mount={digest}" + (f"&from={source}" if source else "")
    return client.ask("POST", f"/v2/{repository}/blobs/uploads/?{query}").status


@pytest.mark.parametrize(("possible", "status"), [(True, 201), (False, 202)])
def test_mount_from_another_project(serve: Serve, client: As, possible: bool, status: int) -> None:
    """Who may read there and write here can mount from another project, if anybody can."""
    registry = serve(Answers(cross_project_mount=possible))
    digest = client(registry, "developer").push_blob(SOURCE, LAYER)
    promoter = client(registry)
    assert mount(promoter, digest, SOURCE) == status
    assert (promoter.ask("HEAD", f"/v2/{DESTINATION}/blobs/{digest}").status == 200) is possible
    developer = client(registry, "developer")
    assert mount(developer, digest, SOURCE, "acme-dev/shop/other") == 201
    assert mount(promoter, ABSENT, SOURCE) == 202


@pytest.mark.parametrize("status", [201, 202, 403])
def test_mount_of_what_is_not_to_be_read(
    serve: Serve, client: As, status: Literal[201, 202, 403]
) -> None:
    """A mount from a repository that the caller may not read is answered as it is said to be."""
    registry = serve(Answers(unreadable_mount=status))
    digest = client(registry, "developer").push_blob(SOURCE, LAYER)
    operator = client(registry, "operator")
    assert mount(operator, digest, SOURCE) == status
    present = operator.ask("HEAD", f"/v2/{DESTINATION}/blobs/{digest}").status == 200
    assert present is (status == 201)


def test_mount_without_the_scope(serve: Serve, client: As) -> None:
    """Where tokens have scopes, a mount takes one that covers the source as well."""
    registry = serve(Answers(issued_token_has_scopes=True))
    digest = client(registry, "developer").push_blob(SOURCE, LAYER)
    promoter = client(registry)
    push, pull = f"repository:{DESTINATION}:pull,push", f"repository:{SOURCE}:pull"
    for scopes, status in (([push], 202), ([push, pull], 201)):
        issued = exchange(promoter, "oauth2accesstoken", "promoter", *scopes).json()["token"]
        assert mount(promoter.authorized(issued), digest, SOURCE) == status


@pytest.mark.parametrize("status", [201, 202])
def test_mount_without_a_source(serve: Serve, client: As, status: Literal[201, 202]) -> None:
    """Without a source the blob is found in any repository that the caller may read, or not."""
    registry = serve(Answers(mount_without_source=status))
    digest = client(registry, "developer").push_blob(SOURCE, LAYER)
    assert mount(client(registry, "operator"), digest, None) == 202
    assert mount(client(registry), digest, None) == status
    assert mount(client(registry), ABSENT, None) == 202


# Manifests and tags


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("code", ["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID"])
def test_absent_blobs(
    serve: Serve,
    client: As,
    code: Literal["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID"],
    status: Literal[400, 404],
) -> None:
    """A manifest whose blobs are not there is refused, with one error that names them."""
    registry = serve(Answers(absent_blobs_code=code, absent_blobs_status=status))
    operator = client(registry, "operator")
    operator.push_blob(DESTINATION, CONFIG)
    answer = operator.push(DESTINATION, "1.0", image(LAYER, b"another"))
    absent = f"{digest_of(LAYER)}, {digest_of(b'another')}"
    message = f"Manifest references unknown blob(s): {absent}"
    assert refusal(answer) == (status, code, message)


@pytest.mark.parametrize("status", [400, 403, 409])
def test_immutable_tag(serve: Serve, client: As, status: int) -> None:
    """An immutable tag cannot be moved or deleted; new tags and digests are welcome."""
    registry = serve(Answers(immutable_tag_status=status), immutable_tags=True)
    keeper = client(registry, "keeper")
    digest = keeper.push_image(DESTINATION, "1.0")
    refused = (
        status,
        "MANIFEST_INVALID",
        "manifest invalid: cannot update tag 1.0. The repository has enabled tag immutability",
    )
    assert refusal(keeper.push(DESTINATION, "1.0", image())) == refused
    for reference in ("1.0", digest):
        assert refusal(keeper.ask("DELETE", f"/v2/{DESTINATION}/manifests/{reference}")) == refused
    other = keeper.push_image(DESTINATION, digest_of(image()), image())
    assert keeper.push(DESTINATION, "1.1", image()).status == 201
    named = keeper.ask("HEAD", f"/v2/{DESTINATION}/manifests/1.0")
    assert named.headers["Docker-Content-Digest"] == digest != other


@pytest.mark.parametrize(("accepted", "status"), [(True, 201), (False, 400)])
def test_same_digest_again(serve: Serve, client: As, accepted: bool, status: int) -> None:
    """What an immutable tag names already is accepted again, or refused like anything else."""
    registry = serve(Answers(same_digest_again=accepted), immutable_tags=True)
    operator = client(registry, "operator")
    operator.push_image(DESTINATION, "1.0")
    assert operator.push(DESTINATION, "1.0", image(LAYER)).status == status


def test_tags_that_become_immutable(serve: Serve, client: As) -> None:
    """A tag can be moved until the repository is told otherwise."""
    registry = serve()
    operator = client(registry, "operator")
    operator.push_image(DESTINATION, "1.0")
    assert operator.push(DESTINATION, "1.0", image()).status == 201
    registry.immutable_tags = True
    assert operator.push(DESTINATION, "1.0", image(LAYER)).status == 400


def test_race_for_an_immutable_tag(serve: Serve, client: As) -> None:
    """Of many that push to one tag at once, one gets it."""
    operator = client(serve(immutable_tags=True), "operator")
    operator.push_blob(DESTINATION, CONFIG)
    manifests = [image(annotations={"number": str(number)}) for number in range(8)]
    with ThreadPoolExecutor(len(manifests)) as threads:
        pushes = [threads.submit(operator.push, DESTINATION, "1.0", each) for each in manifests]
    statuses = sorted(push.result().status for push in pushes)
    assert statuses == [201, *[400] * 7]


# Referrers


def push_referrer(client: Client, **more: object) -> tuple[str, bytes]:
    """Push an image and a manifest about it; the answer is the image's digest and that manifest."""
    subject = client.push_image(DESTINATION, "1.0")
    referrer = image(subject=descriptor(image(LAYER), IMAGE), artifactType="text/sbom", **more)
    assert client.push(DESTINATION, digest_of(referrer), referrer).status == 201
    return subject, referrer


def referrers_of(client: Client, digest: str) -> list[dict[str, Any]]:
    """List what refers to a manifest."""
    answer = client.ask("GET", f"/v2/{DESTINATION}/referrers/{digest}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, INDEX)
    found: list[dict[str, Any]] = answer.json()["manifests"]
    return found


@pytest.mark.parametrize("sizes_are_true", [True, False])
def test_referrers(serve: Serve, client: As, sizes_are_true: bool) -> None:
    """Referrers are listed by the registry; their sizes may be wrong, as has been seen."""
    operator = client(serve(Answers(referrer_sizes_are_true=sizes_are_true)), "operator")
    subject, referrer = push_referrer(operator)
    (listed,) = referrers_of(operator, subject)
    assert (listed["digest"], listed["artifactType"]) == (digest_of(referrer), "text/sbom")
    assert (listed["size"] == len(referrer)) is sizes_are_true


def test_referrers_that_come_late(serve: Serve, client: As) -> None:
    """A new referrer may be missing from the next lists."""
    operator = client(serve(Answers(referrers_lag=2)), "operator")
    subject, _ = push_referrer(operator)
    assert [len(referrers_of(operator, subject)) for _ in range(4)] == [0, 0, 1, 1]


@pytest.mark.parametrize("tagged", [True, False])
def test_tag_of_referrers(serve: Serve, client: As, tagged: bool) -> None:
    """The registry may maintain the fallback tag, immutable or not."""
    operator = client(serve(Answers(referrer_tags=tagged), immutable_tags=True), "operator")
    subject, _ = push_referrer(operator)
    push_referrer(operator, annotations={"number": "2"})
    tags = operator.ask("GET", f"/v2/{DESTINATION}/tags/list").json()["tags"]
    tag = subject.replace(":", "-")
    assert tags == (["1.0", tag] if tagged else ["1.0"])
    if tagged:
        index = operator.ask("GET", f"/v2/{DESTINATION}/manifests/{tag}").json()
        assert len(index["manifests"]) == 2


@pytest.mark.parametrize(("accepted", "status"), [(True, 201), (False, 404)])
def test_referrer_before_its_subject(serve: Serve, client: As, accepted: bool, status: int) -> None:
    """A manifest may come before its subject, as the specification wants, or may not."""
    operator = client(serve(Answers(absent_subject=accepted)), "operator")
    operator.push_blob(DESTINATION, CONFIG)
    referrer = image(subject=descriptor(image(LAYER), IMAGE))
    assert operator.push(DESTINATION, digest_of(referrer), referrer).status == status


# Quota


@pytest.mark.parametrize("retry_after", [None, "0"])
def test_next_requests_over_quota(serve: Serve, client: As, retry_after: str | None) -> None:
    """The next requests of a kind are refused, with a time to come back or without."""
    registry = serve()
    promoter = client(registry)
    registry.quota.refuse_next(2, matching="POST .*mount=", retry_after=retry_after)
    for _ in range(2):
        assert promoter.ask("GET", "/v2/").status == 200
        path = f"/v2/{DESTINATION}/blobs/uploads/?mount={ABSENT}&from={SOURCE}"
        answer = promoter.ask("POST", path)
        status, code, message = refusal(answer)
        assert (status, code, message.startswith(EXCEEDED)) == (429, "TOOMANYREQUESTS", True)
        assert answer.headers.get("Retry-After") == retry_after
    assert mount(promoter, ABSENT, SOURCE) == 202


def test_quota(serve: Serve, client: As) -> None:
    """More requests than the quota has are refused, also for a token, until time has passed."""
    quota = Quota(requests=3, writes=1, seconds=0.5, retry_after="1")
    promoter = client(serve(quota=quota))
    start = time.monotonic()
    assert promoter.ask("POST", f"/v2/{DESTINATION}/blobs/uploads/").status == 202
    assert promoter.ask("POST", f"/v2/{DESTINATION}/blobs/uploads/").status == 429
    assert promoter.ask("GET", "/v2/").status == 200
    assert exchange(promoter, "oauth2accesstoken", "promoter").status == 200
    refused = exchange(promoter, "oauth2accesstoken", "promoter")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    time.sleep(max(start + 0.6 - time.monotonic(), 0))
    assert promoter.ask("GET", "/v2/").status == 200


# The list of tags


def test_tags(serve: Serve, client: As) -> None:
    """The list of tags describes each manifest, with a tag or without, and what is below."""
    operator = client(serve(), "operator")
    tagged = operator.push_image(DESTINATION, "1.0")
    operator.push(DESTINATION, "latest", image(LAYER))
    untagged = operator.push_image(DESTINATION, digest_of(image()), image())
    listed = operator.ask("GET", f"/v2/{DESTINATION}/tags/list").json()
    assert (listed["name"], listed["tags"], listed["child"]) == (DESTINATION, ["1.0", "latest"], [])
    assert {digest: each["tag"] for digest, each in listed["manifest"].items()} == {
        tagged: ["1.0", "latest"],
        untagged: [],
    }
    entry = listed["manifest"][tagged]
    assert entry["mediaType"] == IMAGE
    assert entry["imageSizeBytes"] == str(len(LAYER) + len(CONFIG))
    assert abs(int(entry["timeUploadedMs"]) / 1000 - time.time()) < 60


def test_images_of_a_repository(serve: Serve, client: As) -> None:
    """The list of a repository that holds images, and is none, names these."""
    operator = client(serve(), "operator")
    for name in ("app", "team/api"):
        operator.push_image(f"acme-prod/shop/{name}", "1.0")
    listed = operator.ask("GET", "/v2/acme-prod/shop/tags/list").json()
    assert (listed["child"], listed["tags"], listed["manifest"]) == (["app", "team"], [], {})
    assert operator.ask("GET", "/v2/acme-prod/shop/none/tags/list").status == 404


@pytest.mark.parametrize("query", ["", "?n=2", "?n=10000"])
def test_pages(serve: Serve, client: As, query: str) -> None:
    """A long list comes in pages, with what their tags name; the last has what is without a tag."""
    operator = client(serve(largest_page=2), "operator")
    for tag in ("a", "b", "c"):
        operator.push_image(DESTINATION, tag, image(annotations={"tag": tag}))
    operator.push_image(DESTINATION, digest_of(image()), image())
    first = operator.ask("GET", f"/v2/{DESTINATION}/tags/list{query}")
    link = re.fullmatch(r'<(.+)>; rel="next"', first.headers["Link"])
    assert link
    last = operator.ask("GET", link[1])
    assert "Link" not in last.headers
    pages = [
        sorted(each["tag"] for each in answer.json()["manifest"].values())
        for answer in (first, last)
    ]
    assert pages == [[["a"], ["b"]], [[], ["c"]]]


# What is around it


def test_open_questions() -> None:
    """The page for operators lists each question that an answer can be chosen for."""
    page = Path(__file__).parent.parent.parent / "docs/artifact-registry.md"
    listed = re.findall(r"^\| `(\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(field.name for field in fields(Answers))


def test_command(tmp_path: Path, pool: urllib3.PoolManager) -> None:
    """The command serves with the tokens it was given."""
    command = [sys.executable, "-m", "dev.artifact_registry", "--root", str(tmp_path)]
    command += ["--grant", "secret", "writer", "acme-prod/shop", "--immutable-tags"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        announced = re.fullmatch(r"listening on (127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert announced
        writer = Client(pool, announced[1], "secret")
        writer.push_image(DESTINATION, "1.0")
        assert writer.push(DESTINATION, "1.0", image()).status == 400
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0


def test_command_with_an_unknown_role(tmp_path: Path) -> None:
    """The command says what is wrong with a grant."""
    command = [sys.executable, "-m", "dev.artifact_registry", "--root", str(tmp_path)]
    command += ["--grant", "secret", "owner", "acme-prod"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, "not a role: 'owner'" in ended.stderr) == (2, True)


def test_there_is_no_catalog(serve: Serve, client: As) -> None:
    """Which repositories there are is a question for Google's own API."""
    operator = client(serve(), "operator")
    operator.push_image(DESTINATION, "1.0")
    assert operator.ask("GET", "/v2/_catalog").status == 404


def test_skopeo(serve: Serve, client: As) -> None:
    """A client written by others finds its way: challenge, token, redirect, upload."""
    skopeo = shutil.which("skopeo")
    if not skopeo:
        raise MissingPart("skopeo is not installed: apt-get install skopeo")
    registry = serve(Answers(transfer_encoding=True), immutable_tags=True)
    configuration = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()
    developer = client(registry, "developer")
    developer.push_blob(SOURCE, configuration)
    manifest = image(config=descriptor(configuration, CONFIG_TYPE))
    developer.push(SOURCE, "1.0", manifest)
    credentials = [f"--{side}-creds=oauth2accesstoken:promoter" for side in ("src", "dest")]
    plain = ["--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests"]
    command = [skopeo, "--insecure-policy", "copy", "--quiet", *plain, *credentials]
    places = [f"docker://{registry.host}/{name}:1.0" for name in (SOURCE, DESTINATION)]
    subprocess.run([*command, *places], check=True, timeout=30)
    copied = client(registry).ask("GET", f"/v2/{DESTINATION}/manifests/1.0")
    assert copied.data == manifest
    assert [served for served in registry.served if served.path.startswith("/artifacts-uploads/")]
