"""What is fuzzed: everything that reads what others have written.

Each target takes an input and ends in a result or in an error of the product's own.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from urllib3 import HTTPHeaderDict

from dev.stack import three_stages
from promotion import configuration, decision, delivery, dsse, junit, messages
from promotion.delivery import Message
from promotion.errors import PromotionError
from promotion.evidence import attestation, kinds, statement
from promotion.evidence.statement import NotAStatement
from promotion.identity import GoogleToken
from promotion.registry import challenge, retry
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.credentials import GivenToken
from promotion.registry.docker_config import DockerConfig
from promotion.registry.fetch import Answer
from promotion.registry.leads import lead
from promotion.registry.manifest import (
    DOCKER_LIST,
    MANIFEST_TYPES,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    index_entries,
    successors,
)
from promotion.registry.pages import next_page
from promotion.registry.realm import check_realm
from promotion.registry.reference import Digest, Reference, digest_of, parse_digest
from promotion.registry.referrers import described
from tests.fuzz.inputs import DIGEST, OTHER, VALUES, damaged, documents, header_values, phrases
from tests.fuzz.registry import HOST, Said, ask_everything
from tests.unit.google_tokens import AUDIENCE, certificates, claims, token

PUBLISHED = datetime(2026, 1, 31, 12, tzinfo=UTC)
IMAGE = f"{HOST}/shop/fast-feedback/shop:1.0"
PIPELINES = configuration.parse("promotion.yaml", three_stages(HOST))


@dataclass(frozen=True)
class Target:
    """One reader, and what it is given.

    Attributes:
        check: Reads an input; any exception that it raises is a failure of the target.
    """

    name: str
    inputs: SearchStrategy[Any]
    check: Callable[[Any], object]


RESULT: dict[str, Any] = {
    "image": IMAGE,
    "digest": DIGEST,
    "suite": "functional",
    "outcome": "success",
}
CUSTOM = {"image": IMAGE, "digest": DIGEST, "ref": "refs/heads/main"}
FINISHED: dict[str, Any] = {
    "context": {
        "type": "dev.cdevents.testsuiterun.finished.0.2.0",
        "timestamp": "2026-01-31T12:00:00Z",
    },
    "subject": {"content": {"outcome": "success", "testSuite": {"id": "functional"}}},
    "customData": CUSTOM,
}
INCIDENT = {
    "incident": {
        "incident_id": "0.1",
        "state": "closed",
        "started_at": 1769860800,
        "ended_at": 1769860900,
        "policy_user_labels": {"pipeline": "shop", "stage": "prod", "image": "shop"},
    }
}
STRUCTURED = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "t", "data": RESULT}
MESSAGES = documents(
    RESULT,
    {**RESULT, "finished_at": "2026-01-31T12:00:00Z", "url": "https://ci.example/1"},
    {"image": IMAGE, "digest": DIGEST, "deployed_at": "2026-01-31T12:00:00+01:00"},
    FINISHED,
    {**FINISHED, "context": {**FINISHED["context"], "type": "dev.cdevents.service.deployed.0.2.0"}},
    INCIDENT,
    {"evaluate": {"image": IMAGE, "digest": DIGEST, "pipeline": "shop"}},
    {"evaluate": "all"},
    STRUCTURED,
    {**STRUCTURED, "data_base64": "e30=", "datacontenttype": "application/json"},
)
ATTRIBUTES: SearchStrategy[Mapping[str, str]] = st.sampled_from(
    [{}, {"content-type": "application/cloudevents+json"}, {"Content-Type": "application/json"}]
) | st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)


def parse_message(given: tuple[bytes, Mapping[str, str]]) -> None:
    """A message is read, and the image that it names is looked for among the stages."""
    data, attributes = given
    with suppress(PromotionError):
        said = messages.parse(Message(data, attributes, "1", PUBLISHED))
        image = getattr(said, "image", None)
        if isinstance(image, Reference):
            PIPELINES.find(image)


PUSH = {
    "message": {
        "data": base64.b64encode(json.dumps(RESULT).encode()).decode(),
        "attributes": {"key": "value"},
        "messageId": "7",
        "publishTime": "2026-01-31T12:00:00.5Z",
    },
    "subscription": "projects/p/subscriptions/s",
    "deliveryAttempt": 1,
}
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Content-Type",
            "ce-type",
            "ce-specversion",
            "ce-time",
            "ce-source",
            "x-goog-pubsub-message-id",
            "x-goog-pubsub-publish-time",
        ]
    ),
    header_values(
        "application/cloudevents+json", "1.0", "google.cloud.pubsub.topic.v1.messagePublished"
    ),
)


def take_push(given: tuple[str, Mapping[str, str], bytes]) -> None:
    """A request is taken as a push, in production and in development, and its message is read."""
    for take in (delivery.wrapped_push, delivery.development_delivery):
        message = take(*given)
        if message:
            parse_message((message.data, message.attributes))


def read_reference(text: str) -> None:
    """A reference is one that prints as it was written, or none."""
    with suppress(PromotionError):
        assert str(Reference.parse(text)) == text
    with suppress(PromotionError):
        parse_digest(text)


POINTER = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": OTHER, "size": 5}
MANIFESTS = (
    {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": LAYER, "layers": [LAYER, LAYER]},
    {"schemaVersion": 2, "config": LAYER, "layers": [{**LAYER, "data": "Ynl0ZXM=", "urls": ["x"]}]},
    {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [POINTER, LAYER], "subject": POINTER},
    {"manifests": [{**POINTER, "artifactType": "a/b", "annotations": {"a": "b"}}]},
    {"mediaType": OCI_ARTIFACT, "blobs": [LAYER], "subject": POINTER, "annotations": {"a": "b"}},
    json.loads(
        attestation.manifest(
            Manifest(OCI_MANIFEST, Digest(DIGEST), b"{}"), b"bundle", "type", PUBLISHED
        ).content
    ),
)


def read_manifest(given: tuple[str, bytes]) -> None:
    """A manifest is understood in every way that manifests are."""
    media_type, content = given
    manifest = Manifest(media_type, digest_of(content), content)
    for understood in (successors, index_entries, described):
        with suppress(PromotionError):
            understood(manifest)
    with suppress(NotAStatement):
        attestation.bundle_in(manifest, Digest(DIGEST), dsse.LARGEST)


WORDS = (
    "Bearer ",
    "Basic ",
    "realm=",
    "service=",
    '"',
    ",",
    "\\",
    "=",
    " ",
    f'"https://{HOST}/token"',
    "https://",
    HOST,
    "@evil.example",
    ".evil.example",
    ":443",
    "/token",
    "?a=b",
    "#",
)


def meet_challenge(given: tuple[str, bytes, int]) -> None:
    """A challenge is read, and met only where the credential may be sent."""
    header, content, status = given
    for offered in challenge.parse(header):
        with suppress(PromotionError):
            check_realm(HOST, offered.realm, {})

    def fetch(
        method: str,  # noqa: ARG001
        url: str,
        headers: Mapping[str, str],  # noqa: ARG001
        body: bytes | None,  # noqa: ARG001
    ) -> Answer:
        assert url.lower().startswith((f"https://{HOST}/", f"https://{HOST}:", f"https://{HOST}?"))
        return Answer(status, HTTPHeaderDict({"Retry-After": header}), content)

    with suppress(PromotionError):
        RegistryAuthenticator(GivenToken("secret"), fetch).renewed(
            HOST, ("a:b:pull",), header, None
        )


def follow_links(header: str) -> None:
    """A Link header leads to a path on the same host, or nowhere."""
    with suppress(ValueError):
        following = next_page("/v2/shop/tags/list", header)
        assert following is None or (following.startswith("/") and not following.startswith("//"))


def follow_location(location: str) -> None:
    """A Location leads somewhere over TLS, and to the registry only at its own origin."""
    with suppress(PromotionError):
        led = lead(HOST, f"https://{HOST}/v2/", location)
        assert led.url.lower().startswith("https://")
        ours = (HOST, f"{HOST}:443")
        assert led.is_registry == (led.host.lower() in ours)


def wait_as_told(header: str) -> None:
    """Retry-After is a number of seconds of a day at most, or nothing."""
    seconds = retry.retry_after({"Retry-After": header})
    assert seconds is None or 0 <= seconds <= 24 * 60 * 60


WRITTEN = yaml.safe_load(three_stages(HOST))
GATE = {
    "suites": ["functional", {"suite": "nft", "from": "prod", "via": "projects/p/subscriptions/s"}],
    "refs": ["refs/heads/*"],
    "versions": "semver",
    "soak": "4h",
    "alerts": "none",
    "approvals": 1,
    "approvers": ["ann@acme.example"],
    "freeze": [
        {"from": "fri 16:00", "to": "mon 08:00", "timezone": "Europe/London", "reason": "x"}
    ],
}
WHOLE = {**WRITTEN, "signals": "projects/p/subscriptions/s", "signing": {"key": "key.pem"}}
WHOLE["pipelines"]["shop"]["stages"]["fast-feedback"]["gate"] = GATE
YAML = phrases(
    "pipelines:", "\n", "  ", "- ", "&a ", "*a", "{", "}", "[", "]", ": ", "'", "!!int ", "<<: ",
    "!!python/object:os.system ", "? ", "0x", "1e9", "2026-01-31", "%", "---\n", "null", "~",
)  # fmt: skip


def configure(text: str) -> None:
    """A promotion.yaml is taken, or refused with the reasons."""
    with suppress(PromotionError):
        configuration.parse("promotion.yaml", text)


LOGIN = base64.b64encode(b"user:password").decode()
AUTHS = {
    "auths": {
        HOST: {"auth": LOGIN},
        f"https://{HOST}/v1/": {"username": "user", "password": "password"},
        "https://index.docker.io/v1/": {"identitytoken": "token"},
    }
}


def log_in(content: bytes) -> None:
    """Docker's configuration has a credential, or none, or is named as damaged."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        for host in (HOST, "docker.io"):
            with suppress(PromotionError):
                DockerConfig(Path(file.name)).find(host)


SIGNED = dsse.Envelope("application/vnd.in-toto+json", b"{}", (dsse.Signature(b"x", "k"),))
STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": f"{HOST}/shop", "digest": {"sha256": "a" * 64}}],
    "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
    "predicate": {"result": "PASSED", "configuration": [], "url": "", "passedTests": ["x"]},
}


def read_statement(content: bytes) -> None:
    """A bundle, an envelope, a statement: each is one or is refused."""
    with suppress(dsse.NotAnEnvelope):
        dsse.Envelope.from_bundle(content)
    with suppress(dsse.NotAnEnvelope):
        dsse.Envelope.from_json(content)
    with suppress(NotAStatement):
        kinds.read(statement.read(content, Digest(DIGEST)))


def read_report(text: str) -> None:
    """A report of tests is counted, or it is said what is wrong with it."""
    with suppress(PromotionError):
        junit.read(text.encode(errors="surrogatepass"))


def decide(body: bytes) -> None:
    """A person's decision is one, or it is said what is wrong with it."""
    with suppress(PromotionError):
        decision.parse(body).expiry(PUBLISHED)


CERTIFICATES = certificates()
SIGNED_BY_GOOGLE = token()


def _certificates(
    method: str,  # noqa: ARG001
    url: str,  # noqa: ARG001
    headers: Mapping[str, str],  # noqa: ARG001
    body: bytes | None,  # noqa: ARG001
) -> Answer:
    return Answer(200, HTTPHeaderDict(CERTIFICATES.headers), CERTIFICATES.content)


VERIFIER = GoogleToken(_certificates, [AUDIENCE])


def identify(authorization: str) -> None:
    """Whoever shows a token is who Google says, or nobody."""
    with suppress(PromotionError):
        assert VERIFIER.author({"Authorization": authorization}, "") == claims()["email"]


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


TOKENS = st.builds(
    lambda head, said, rest: f"Bearer {_part(head)}.{_part(said)}.{rest}",
    damaged([{"alg": "RS256", "kid": "key-1", "typ": "JWT"}]),
    damaged([claims()]),
    st.sampled_from([SIGNED_BY_GOOGLE.rpartition(".")[2], "", "x", "===", "a.b"]),
)
LOCATIONS = header_values(
    "https://", "http://", "HTTPS://", "//", "/", "\\", "@", ":", ":443", ":0443", "?", "#", HOST,
    HOST.upper(), ".", "..", "[::1]", "[", "]", "%2e", "%40", "user:pw@", "127.0.0.1", "2130706433",
    "0x7f.1", "169.254.169.254", "metadata.google.internal", "evil.example", "\t", " ", "/v2/",
)  # fmt: skip
REPORTS = phrases(
    '<?xml version="1.0"?>', "<!DOCTYPE a [", '<!ENTITY a "b">', "]>", "<testsuites>",
    "<testsuite>", '<testsuite tests="3" failures="1">', '<testcase name="a">', "<testcase/>",
    "<failure/>", "<skipped/>", "</testcase>", "</testsuite>", "</testsuites>", "&a;", "&#0;",
    "<![CDATA[", "]]>", "<", ">",
)  # fmt: skip
STATUSES = st.sampled_from([200, 200, 200, 201, 202, 206, 301, 307, 400, 401, 403, 404, 429, 500])
ANSWERS = st.lists(
    st.builds(
        Said,
        STATUSES,
        st.fixed_dictionaries(
            {},
            optional={
                "Content-Type": st.sampled_from([OCI_MANIFEST, OCI_INDEX, "text/html", "a;b"]),
                "Content-Length": st.sampled_from(["0", "5", "-1", "x", "5,5", "5,6", "9" * 99]),
                "Docker-Content-Digest": st.sampled_from([DIGEST, "sha256:", "x", ""]),
                "Link": header_values("<", ">", ";rel=next", "/v2/x", "?a", "https://", "[", ","),
                "Location": LOCATIONS,
                "Retry-After": header_values("1", "0", "Mon, 31 Jan 2026 12:00:00 GMT", "-"),
                "WWW-Authenticate": header_values(*WORDS),
                "Content-Encoding": st.sampled_from(["gzip", "br", "identity", "x"]),
                "Transfer-Encoding": st.just("chunked"),
            },
        ),
        documents(
            *MANIFESTS,
            {"name": "shop", "tags": ["1.0", "2.0"]},
            {"repositories": ["shop", "../x"]},
            {"errors": [{"code": "UNKNOWN", "message": "no"}]},
            {"token": "a", "expires_in": 300, "issued_at": "2026-01-31T12:00:00Z"},
        ),
    ),
    min_size=1,
    max_size=4,
)
REFERENCES = phrases(
    HOST, "127.0.0.1:5000", "[::1]", "localhost", "/shop", ":1.0", "@", DIGEST, "sha512:", "..",
    "//", "%2e", "\u0430", "_", "__", "-", "a" * 99, "\n", ":", "xn--",
)  # fmt: skip
TOKEN_ANSWERS = documents(
    {"token": "a", "expires_in": 300, "issued_at": "2026-01-31T12:00:00Z"},
    {"access_token": "b"},
    {"errors": [{"code": "DENIED", "message": "no"}], "details": "x"},
)

LINKS = header_values(
    "<", ">", ";", "rel", "=", '"', "next", "/v2/x", "?last=a", "//", "https://", "[", "]", ",",
    "\\", " ",
)  # fmt: skip
MOMENTS = header_values(
    "Mon, ", "31 Jan ", "2026 ", "99999999999 ", "12:00:00", ":", " GMT", "+9999", "-", "1", "0"
)
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Sunday", ""]),
    st.integers(-1, 99),
    st.sampled_from(["Jan", "Dec", "x"]),
    st.integers(0, 2**70) | st.integers(0, 9999),
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 61),
    st.sampled_from(["GMT", "+9999", "-2359", ""]),
)
CONFIGURATIONS = damaged([WRITTEN, WHOLE]).map(json.dumps) | YAML | VALUES.map(json.dumps)
KINDS = st.sampled_from([*sorted(MANIFEST_TYPES), DOCKER_LIST, "x"])
DECISIONS = documents(
    {"action": "approve", "image": IMAGE, "reason": "x", "expires_in": "4h"},
    {"action": "hold", "pipeline": "shop", "stage": "prod", "reason": "x"},
    {"action": "override", "image": IMAGE, "reason": "x", "gates": ["soak"]},
)
BUNDLES = documents(json.loads(SIGNED.to_bundle()), json.loads(SIGNED.to_json()), STATEMENT)
PUSHES = st.tuples(st.text(max_size=20), HEADERS, documents(PUSH) | MESSAGES)
CHALLENGES = st.tuples(header_values(*WORDS), TOKEN_ANSWERS, STATUSES)

TARGETS = (
    Target("messages", st.tuples(MESSAGES, ATTRIBUTES), parse_message),
    Target("pushes", PUSHES, take_push),
    Target("references", REFERENCES, read_reference),
    Target("manifests", st.tuples(KINDS, documents(*MANIFESTS)), read_manifest),
    Target("WWW-Authenticate", CHALLENGES, meet_challenge),
    Target("Link", LINKS, follow_links),
    Target("Location", LOCATIONS, follow_location),
    Target("Retry-After", MOMENTS | DATES, wait_as_told),
    Target("whole answers", ANSWERS, ask_everything),
    Target("promotion.yaml", CONFIGURATIONS, configure),
    Target("Docker's config.json", documents(AUTHS), log_in),
    Target("statements", BUNDLES, read_statement),
    Target("decisions", DECISIONS, decide),
    Target("JUnit reports", REPORTS, read_report),
    Target("identity tokens", TOKENS | header_values("Bearer ", ".", SIGNED_BY_GOOGLE), identify),
)
