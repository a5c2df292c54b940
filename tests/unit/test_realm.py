"""Token endpoints: only a registry's own host, or one named for it, gets its credential."""

from __future__ import annotations

import pytest

from promotion.errors import AccessDenied
from promotion.registry.realm import check_realm

HOST = "registry.example"


@pytest.mark.parametrize(
    "realm",
    [
        f"https://{HOST}",
        f"https://{HOST}/token?service=x",
        f"HTTPS://{HOST.upper()}:8443/token",
        f"https://{HOST}/@evil.example/",
        "https://tokens.example/token",
    ],
)
def test_its_own_host_and_one_that_is_named_may_issue_tokens(realm: str) -> None:
    """Whatever the port and the path."""
    check_realm(HOST, realm, {HOST: frozenset({"tokens.example"})})


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "token",
        "//evil.example/token",
        f"http://{HOST}/token",
        f"ftp://{HOST}/token",
        f"https://{HOST}.evil.example/token",
        f"https://evil-{HOST}/token",
        f"https://{HOST}./token",
        f"https://{HOST}@evil.example/token",
        f"https://{HOST}:443@evil.example/token",
        f"https://user:password@{HOST}/token",
        f"https://evil.example\\@{HOST}/token",
        f"https://evil.example#@{HOST}/token",
        f"https://evil.example?@{HOST}/token",
        f"https://{HOST}%2eevil.example/token",
        f"https://{HOST}\t.evil.example/token",
        f"https://{HOST}\n.evil.example/token",
        f" https://{HOST}/token",
        "https://regi\u0455try.example/token",
        "https://to\u212aens.example/token",
        "https://reg\u00eestry.example/token",
        f"https://{HOST}\uff0fevil.example/token",
        "https://127.0.0.1/token",
        "https://2130706433/token",
        "https://0x7f.1/token",
        "https://[::1]/token",
        "https://[::ffff:127.0.0.1]/token",
        "https://[fe80::1%25eth0]/token",
        "https://169.254.169.254/token",
        "http://metadata.google.internal/computeMetadata/v1/",
        "https://other.tokens.example/token",
    ],
)
def test_nobody_else_may(realm: str) -> None:
    """Neither names that look like its own, nor addresses of this machine, nor anything unclear."""
    with pytest.raises(AccessDenied):
        check_realm(HOST, realm, {HOST: frozenset({"tokens.example"})})


@pytest.mark.parametrize("other", ["other.example", f"{HOST}:5000", f"a.{HOST}"])
def test_what_is_named_for_one_registry_is_named_for_no_other(other: str) -> None:
    """The name of a registry is the whole of it, port and all."""
    with pytest.raises(AccessDenied, match=f"a credential for {other} goes to no other host"):
        check_realm(other, "https://tokens.example/token", {HOST: frozenset({"tokens.example"})})
