"""One repository on the wire: what is asked, and what the answers become."""

from __future__ import annotations

import json

import pytest

from promotion.errors import (
    AccessDenied,
    BeyondLimit,
    ContentMismatch,
    NotFound,
    Permanent,
    PromotionError,
    RegistryRefused,
    RegistryUnavailable,
    Retryable,
    UnsupportedContent,
)
from promotion.registry.auth import RegistryAuthenticator, Scopes
from promotion.registry.client import LARGEST_MANIFEST, RepositoryClient
from promotion.registry.connections import Connections
from promotion.registry.credentials import GivenToken
from promotion.registry.manifest import OCI_MANIFEST, Blob
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from tests.unit.scripted import Answer, ScriptedServer

CONTENT = b'{"schemaVersion": 2}'
DIGEST = digest_of(CONTENT)
FOUND = Answer(200, CONTENT, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": DIGEST})


def errors(code: str, message: str) -> bytes:
    """An error body as the specification lays it out."""
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def client(server: ScriptedServer, transport: Transport) -> RepositoryClient:
    """A client for a repository on the scripted server."""
    return RepositoryClient(Repository(server.host, "shop/fast-feedback/shop"), transport)


@pytest.mark.parametrize(
    ("status", "kind", "effect", "advice"),
    [
        (401, AccessDenied, Retryable, "docker login"),
        (401, AccessDenied, Retryable, "roles/artifactregistry.reader"),
        (403, AccessDenied, Retryable, "roles/artifactregistry.writer"),
        (404, NotFound, Retryable, "check that the repository exists"),
        (408, RegistryUnavailable, Retryable, "tried again"),
        (429, RegistryUnavailable, Retryable, "tried again"),
        (500, RegistryUnavailable, Retryable, "tried again"),
        (503, RegistryUnavailable, Retryable, "tried again"),
        (400, RegistryRefused, Permanent, ""),
        (405, AccessDenied, Retryable, "read-only"),
        (413, RegistryRefused, Permanent, ""),
    ],
)
def test_a_refusal_says_what_was_attempted_what_was_answered_and_what_to_do(
    status: int,
    kind: type[PromotionError],
    effect: type[PromotionError],
    advice: str,
    transport: Transport,
) -> None:
    """Each status is an error of its own kind, with the reference and the registry's own words."""
    with ScriptedServer(Answer(status, errors("DENIED", "not for you"))) as server:
        with pytest.raises(kind) as raised:
            client(server, transport).manifest("1.0")
        assert isinstance(raised.value, effect)
        text = str(raised.value)
        assert f"read the manifest {server.host}/shop/fast-feedback/shop:1.0" in text
        assert f"answered {status} DENIED: not for you" in text
        assert advice in text


def test_an_error_body_of_any_kind_is_survived(transport: Transport) -> None:
    """An HTML page in place of the specified JSON is left out of the message."""
    with ScriptedServer(Answer(502, b"<html>")) as server:
        with pytest.raises(RegistryUnavailable, match="answered 502; it will be tried again"):
            client(server, transport).manifest("1.0")


def test_a_manifest_that_is_not_what_its_digest_names_is_refused(transport: Transport) -> None:
    """Neither the digest asked for nor the one the registry states may differ from the content."""
    other = digest_of(b"other")
    lie = Answer(200, CONTENT, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": other})
    with ScriptedServer(FOUND, lie) as server:
        for name in (other, "1.0"):
            with pytest.raises(ContentMismatch, match=other):
                client(server, transport).manifest(name)


def test_a_header_that_is_no_digest_is_a_broken_answer(transport: Transport) -> None:
    """Something on the way is at fault, and not whoever asked: it may be better next time."""
    broken = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": "sha256:abc"}
    with ScriptedServer(Answer(200, CONTENT, broken), Answer(200, b"", broken)) as server:
        for read in (client(server, transport).manifest, client(server, transport).resolve):
            with pytest.raises(RegistryUnavailable, match="'sha256:abc' is not a digest"):
                read("1.0")


def test_a_manifest_beyond_the_limit_is_not_read(transport: Transport) -> None:
    """More than 4 MiB are refused."""
    long = Answer(200, b" " * (LARGEST_MANIFEST + 1), {"Content-Type": OCI_MANIFEST})
    with ScriptedServer(long) as server:
        with pytest.raises(BeyondLimit, match="longer than"):
            client(server, transport).manifest("1.0")


def test_a_manifest_without_a_type_is_refused(transport: Transport) -> None:
    """The Content-Type is part of a manifest; without it there is nothing to hand on."""
    with ScriptedServer(Answer(200, CONTENT)) as server:
        with pytest.raises(UnsupportedContent, match="without a Content-Type"):
            client(server, transport).manifest("1.0")


def test_a_tag_is_resolved_without_the_digest_header(transport: Transport) -> None:
    """A registry that leaves the header out is asked for the manifest itself."""
    bare = Answer(200, b"", {"Content-Type": OCI_MANIFEST})
    whole = Answer(200, CONTENT, {"Content-Type": OCI_MANIFEST})
    with ScriptedServer(bare, whole) as server:
        assert client(server, transport).resolve("1.0") == DIGEST


def test_redirects_are_followed_without_authorization(transport: Transport) -> None:
    """No place that a download is sent to ever sees the registry's credential."""
    blob = Blob(digest_of(b"bytes"), 5)
    connections = Connections()
    authenticator = RegistryAuthenticator(GivenToken("secret"), connections.fetch)
    authorised = Transport(authenticator, connections)
    with ScriptedServer(Answer(302, b"", {"Location": "2"}), Answer(200, b"bytes")) as store:
        location = {"Location": f"http://{store.host}/downloads/1?signature=x"}
        with ScriptedServer(Answer(307, b"", location)) as server:
            with client(server, authorised).blob(blob) as pieces:
                assert b"".join(pieces) == b"bytes"
            assert server.asked[0].headers["Authorization"] == "Bearer secret"
        assert [asked.path for asked in store.asked] == ["/downloads/1?signature=x", "/downloads/2"]
        assert not any("Authorization" in asked.headers for asked in store.asked)
    authorised.close()
    transport.close()


class Steadfast:
    """Shows one credential, and fails whoever wants another."""

    def authorization(self, host: str, scopes: Scopes) -> str | None:  # noqa: ARG002
        """The credential."""
        return "Bearer secret"

    def renewed(self, host: str, scopes: Scopes, challenge: str, refused: str | None) -> str | None:
        """None is to be asked for."""
        raise AssertionError(f"{host} {scopes} {challenge} {refused}")


@pytest.mark.parametrize("status", [401, 403])
def test_a_download_that_is_denied_is_not_the_registry_s_denial(status: int) -> None:
    """A challenge from where a registry leads to renews no token, and is shown none."""
    challenge = {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/token"'}
    transport = Transport(Steadfast(), Connections())
    blob = Blob(digest_of(b"bytes"), 5)
    with ScriptedServer(Answer(status, b"", challenge)) as store:
        location = {"Location": f"http://{store.host}/downloads/1"}
        with ScriptedServer(Answer(307, b"", location)) as server:
            text = f"{server.host} leads to {store.host}, which answered {status}"
            with pytest.raises(AccessDenied, match=text), client(server, transport).blob(blob):
                pass
            assert len(server.asked) == 1
        assert all("Authorization" not in asked.headers for asked in store.asked)
    transport.close()


@pytest.mark.parametrize("status", [404, 410, 500])
def test_a_download_that_fails_is_laid_to_whoever_failed(status: int, transport: Transport) -> None:
    """What a storage service answers is not said of the registry that leads there."""
    blob = Blob(digest_of(b"bytes"), 5)
    with ScriptedServer(Answer(status)) as store:
        location = {"Location": f"http://{store.host}/downloads/1"}
        with ScriptedServer(Answer(307, b"", location)) as server:
            text = f"{server.host}/.*: {store.host} answered {status}"
            with pytest.raises(PromotionError, match=text), client(server, transport).blob(blob):
                pass


def test_an_upload_that_is_denied_elsewhere_is_not_the_registry_s_denial() -> None:
    """The same holds for an upload that a registry wants to have somewhere else."""
    challenge = {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/token"'}
    transport = Transport(Steadfast(), Connections())
    blob = Blob(digest_of(b"bytes"), 5)
    with ScriptedServer(Answer(401, b"", challenge)) as store, ScriptedServer() as server:
        with pytest.raises(AccessDenied, match=f"{server.host} leads to {store.host}"):
            client(server, transport).upload(f"http://{store.host}/upload", blob, [b"bytes"])
        assert "Authorization" not in store.asked[0].headers
        assert server.asked == []
    transport.close()


def test_an_endless_redirect_ends(transport: Transport) -> None:
    """A registry that sends its reader round in circles is refused after a few rounds."""
    circle = Answer(302, b"", {"Location": "/v2/round"})
    with ScriptedServer(*[circle] * 10) as server:
        with pytest.raises(RegistryRefused, match="answered 302"):
            client(server, transport).manifest("1.0")
        assert len(server.asked) == 6


def test_where_no_range_is_given_a_blob_is_read_again(transport: Transport) -> None:
    """A server that cannot go on from a byte is asked once more, for all, and that byte is met."""
    blob = Blob(digest_of(b"bytes"), 5)
    with ScriptedServer(Answer(416), Answer(200, b"bytes")) as server:
        with client(server, transport).blob(blob, 2) as pieces:
            assert b"".join(pieces) == b"tes"
        assert [asked.headers.get("Range") for asked in server.asked] == ["bytes=2-", None]


def test_a_blob_that_is_refused_as_a_range_is_not_asked_for_for_ever(transport: Transport) -> None:
    """Where not even the whole is given, that is the end."""
    blob = Blob(digest_of(b"bytes"), 5)
    with ScriptedServer(Answer(416)) as server:
        with pytest.raises(RegistryRefused, match="answered 416"):
            with client(server, transport).blob(blob, 2):
                pass
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    "location", ["/v2/up/1", "/v2/up/1?state=a%2Fb&x=", "http://{host}/v2/up/1"]
)
def test_an_upload_goes_where_the_registry_says(location: str, transport: Transport) -> None:
    """Relative and absolute locations, with and without a query, keep what they say."""
    blob = Blob(digest_of(b"bytes"), 5)
    with ScriptedServer() as server:
        where = location.format(host=server.host)
        server.answers = [Answer(202, b"", {"Location": where}), Answer(201)]
        repository = client(server, transport)
        repository.upload(repository.start_upload(blob), blob, [b"by", b"tes"])
        opened, sent = server.asked
        assert opened.headers["Content-Length"] == "0"
        assert sent.headers["Content-Length"] == "5"
        assert "Transfer-Encoding" not in sent.headers
        path, _, query = sent.path.partition("?")
        assert path == "/v2/up/1"
        assert query.startswith("state=a%2Fb&x=&digest=" if "?" in location else "digest=sha256")


@pytest.mark.parametrize(
    "state", ["_state=%FF%FE~a+b%20c", "flag&x=1", "sig=a:b/c,d;e", "x=1&&y=2"]
)
def test_what_an_upload_s_location_says_is_not_rewritten(state: str, transport: Transport) -> None:
    """A registry may have signed it, and need not write it as anybody else would."""
    blob = Blob(digest_of(b"bytes"), 5)
    with ScriptedServer(Answer(201)) as server:
        client(server, transport).upload(f"/v2/up/1?{state}", blob, [b"bytes"])
        digest = blob.digest.replace(":", "%3A")
        assert server.asked[0].path == f"/v2/up/1?{state}&digest={digest}"


def listed(*tags: str) -> bytes:
    """A page of tags."""
    return json.dumps({"name": "shop", "tags": tags}).encode()


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ('</v2/shop/tags/list?last=a>; rel="next"', "/v2/shop/tags/list?last=a"),
        ('<?last=a&n=1>; rel="next"', "/v2/{shop}/tags/list?last=a&n=1"),
        ('<list?last=a>; rel="next"', "/v2/{shop}/tags/list?last=a"),
        ('<tags/list?last=a>; rel="next"', "/v2/{shop}/tags/tags/list?last=a"),
        ('<http://{host}/v2/x?last=a>; rel="next"', "/v2/x?last=a"),
        ('<https://inside.example/v2/x?last=a>; rel="next"', "/v2/x?last=a"),
        ('<//inside.example//evil.example/x>; rel="next"', "/evil.example/x"),
        ('</v2/x?last=a,b;c>; title="a, <b>; rel=\\"prev\\""; rel="next"', "/v2/x?last=a,b;c"),
        ("</v2/x>;rel=next;n=1", "/v2/x"),
        ('</v2/x> ; Rel = "last NEXT"', "/v2/x"),
        ('</v2/first>; rel="first", </v2/x>; rel="next"', "/v2/x"),
    ],
)
def test_the_next_page_is_where_the_link_leads(link: str, path: str, transport: Transport) -> None:
    """Targets are relative to the page, parameters stand in any order, and the host stays."""
    with ScriptedServer() as server:
        header = {"Link": link.format(host=server.host)}
        server.answers = [Answer(200, listed("a"), header), Answer(200, listed("b"))]
        assert client(server, transport).tags() == ["a", "b"]
        assert server.asked[1].path == path.format(shop="shop/fast-feedback/shop")


@pytest.mark.parametrize(
    "link", ['</v2/x>; rel="prev"', '</v2/x>; title="rel=next"', "</v2/x>", "next", ""]
)
def test_other_links_lead_nowhere(link: str, transport: Transport) -> None:
    """A list ends with the page that has no link to a next one."""
    with ScriptedServer(Answer(200, listed("a"), {"Link": link})) as server:
        assert client(server, transport).tags() == ["a"]
        assert len(server.asked) == 1


@pytest.mark.parametrize("link", ['<http://[>; rel="next"', '<?again>; rel="next"'])
def test_a_list_that_leads_in_a_circle_ends_in_an_error(link: str, transport: Transport) -> None:
    """A page that links to itself, or to what is no URL, is no reason to ask for ever."""
    pages = [Answer(200, listed("a"), {"Link": link})] * 3
    with ScriptedServer(*pages) as server:
        with pytest.raises(UnsupportedContent, match="list the tags"):
            client(server, transport).tags()
        assert len(server.asked) <= 2


def test_a_list_without_end_ends_in_an_error(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many pages, each with another link, the list is given up as a whole."""
    monkeypatch.setattr("promotion.registry.pages.MOST_PAGES", 3)
    pages = [
        Answer(200, listed("a"), {"Link": f'<?page={number}>; rel="next"'}) for number in range(9)
    ]
    with ScriptedServer(*pages) as server:
        with pytest.raises(UnsupportedContent, match="after 3 pages"):
            client(server, transport).tags()
        assert len(server.asked) == 3


def test_a_page_that_is_missing_is_no_end(transport: Transport) -> None:
    """Where a link leads to nothing, the list is not taken to be complete."""
    first = Answer(200, listed("a"), {"Link": '<?last=a>; rel="next"'})
    with ScriptedServer(first, Answer(404)) as server:
        with pytest.raises(NotFound, match="list the tags"):
            client(server, transport).tags()


def test_too_many_referrers_are_an_error(transport: Transport) -> None:
    """What refers to an image is copied as a whole or not at all, so the list is never cut."""
    entries = [{"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 1}] * 10_001
    page = Answer(200, json.dumps({"manifests": entries}).encode())
    with ScriptedServer(page) as server:
        with pytest.raises(UnsupportedContent, match="more than 10,000") as raised:
            client(server, transport).referrers(DIGEST)
        assert isinstance(raised.value, Permanent)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404),
        Answer(400, errors("NAME_INVALID", "what is this?")),
        Answer(405, errors("UNSUPPORTED", "not here")),
        Answer(200, b"<html>", {"Content-Type": "text/html; charset=utf-8"}),
    ],
    ids=["404", "400", "405", "a web page"],
)
def test_registries_without_the_referrers_api_say_so_in_many_ways(
    answer: Answer, transport: Transport
) -> None:
    """Whatever they answer to a path they do not know, it is no error, and not an empty list."""
    with ScriptedServer(answer) as server:
        assert client(server, transport).referrers(DIGEST) is None


def test_content_is_asked_for_as_it_is_stored(transport: Transport) -> None:
    """Compression on the way would change the bytes that a digest is made of."""
    with ScriptedServer(FOUND) as server:
        client(server, transport).manifest("1.0")
        assert server.asked[0].headers["Accept-Encoding"] == "identity"
        assert OCI_MANIFEST in server.asked[0].headers["Accept"]
