"""What registries and token endpoints answer, headers and all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from promotion.errors import PromotionError
from promotion.registry import challenge, retry
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.credentials import GivenToken
from promotion.registry.fetch import Answer
from promotion.registry.leads import lead
from promotion.registry.manifest import OCI_INDEX, OCI_MANIFEST
from promotion.registry.pages import next_page
from promotion.registry.realm import check_realm
from tests.fuzz.inputs import DIGEST, documents, header_values
from tests.fuzz.registry import HOST, Said, ask_everything
from tests.fuzz.stored import MANIFESTS
from tests.fuzz.target import Target

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


STATUSES = st.sampled_from([200, 200, 200, 201, 202, 206, 301, 307, 400, 401, 403, 404, 429, 500])

TOKEN_ANSWERS = documents(
    {"token": "a", "expires_in": 300, "issued_at": "2026-01-31T12:00:00Z"},
    {"access_token": "b"},
    {"errors": [{"code": "DENIED", "message": "no"}], "details": "x"},
)


CHALLENGES = st.tuples(header_values(*WORDS), TOKEN_ANSWERS, STATUSES)


LINKS = header_values(
    "<", ">", ";", "rel", "=", '"', "next", "/v2/x", "?last=a", "//", "https://", "[", "]", ",",
    "\\", " ",
)  # fmt: skip


LOCATIONS = header_values(
    "https://", "http://", "HTTPS://", "//", "/", "\\", "@", ":", ":443", ":0443", "?", "#", HOST,
    HOST.upper(), ".", "..", "[::1]", "[", "]", "%2e", "%40", "user:pw@", "127.0.0.1", "2130706433",
    "0x7f.1", "169.254.169.254", "metadata.google.internal", "evil.example", "\t", " ", "/v2/",
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


TARGETS = (
    Target("WWW-Authenticate", CHALLENGES, meet_challenge),
    Target("Link", LINKS, follow_links),
    Target("Location", LOCATIONS, follow_location),
    Target("Retry-After", MOMENTS | DATES, wait_as_told),
    Target("whole answers", ANSWERS, ask_everything),
)
