"""References: what is one, what is not, and what is said about it."""

from __future__ import annotations

import pytest

from promotion.errors import BadReference
from promotion.registry.reference import Reference, Repository, digest_of, is_loopback, parse_digest

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "digest"),
    [
        ("gcr.io/acme/shop:1.4.2", "gcr.io", "acme/shop", "1.4.2", None),
        ("127.0.0.1:5000/shop:1", "127.0.0.1:5000", "shop", "1", None),
        ("localhost/shop:v_1.0-rc", "localhost", "shop", "v_1.0-rc", None),
        ("[::1]:5000/a/b/c:1", "[::1]:5000", "a/b/c", "1", None),
        (f"a.b:80/x__y/z@{DIGEST}", "a.b:80", "x__y/z", "", DIGEST),
        (f"a.b/x:1@{DIGEST}", "a.b", "x", "1", DIGEST),
    ],
)
def test_a_reference_is_taken_apart_and_put_together_again(
    text: str, host: str, path: str, tag: str, digest: str | None
) -> None:
    """Every form of a reference gives its parts, and printing it gives the text back."""
    reference = Reference.parse(text)
    assert reference == Reference(Repository(host, path), tag, digest)  # type: ignore[arg-type]
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop:1",
        "shop/api:1",
        "gcr.io/acme/shop",
        "gcr.io/acme/Shop:1",
        "gcr.io/../shop:1",
        "gcr.io/acme//shop:1",
        "gcr.io/acme/shop:",
        "gcr.io/acme/shop:-1",
        f"gcr.io/acme/shop:{'1' * 129}",
        f"gcr.io/{'a' * 256}:1",
        "gcr.io/acme/shop@sha256:abc",
        "gcr.io/acme/shop@md5:" + "a" * 32,
        "user:secret@gcr.io/acme/shop:1",
        "user@gcr.io/acme/shop:1",
        "https://gcr.io/acme/shop:1",
        "gcr.io%2facme/shop:1",
        "gсr.io/acme/shop:1",  # the second letter is Cyrillic
        "gcr.io/acme/shop:1\n",
        "gcr.io:99999999/acme/shop:1",
    ],
)
def test_what_is_not_a_reference_is_refused(text: str) -> None:
    """Anything outside the grammar is an error of ours, which repeats the text."""
    with pytest.raises(BadReference):
        Reference.parse(text)


def test_a_missing_host_is_never_guessed() -> None:
    """A short name is refused with the advice to write the host out."""
    with pytest.raises(BadReference, match="write it out"):
        Reference.parse("busybox/busybox:1")


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:1", "[::1]", "[::1]:9"])
def test_loopback_names_are_known(host: str) -> None:
    """The names of this machine's loopback interface count as loopback."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1.evil.example", "gcr.io", "localhost.example", "128.0.0.1"]
)
def test_other_names_are_not_loopback(host: str) -> None:
    """A name that only resembles a loopback name is a host like any other."""
    assert not is_loopback(host)


def test_a_digest_names_its_content() -> None:
    """The digest of some bytes is the algorithm and their hash."""
    assert digest_of(b"{}") == (
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
    assert parse_digest(digest_of(b"", "sha512")).startswith("sha512:cf83e135")
