"""What travels to and from Artifact Registry's profile: uploads, downloads, mounts."""

from __future__ import annotations

from typing import Literal

import pytest

from dev.artifact_registry import Answers
from dev.registry import Served
from tests.unit.artifact_registry.asking import (
    DESTINATION,
    HTML,
    SOURCE,
    As,
    Serve,
    ask_raw,
    exchange,
    mount,
    refusal,
)
from tests.unit.wire import ABSENT, LAYER, digest_of

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
