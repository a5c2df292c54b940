"""A decision sent by somebody who may not changes no verdict: kind by way.

Requests go through the Functions Framework, as they do in a deployment, with tokens signed by the
key that stands for Google's. A kind is a decision that changes the verdict when the right person
sends it; that it does is tested too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from tests.unit.google_tokens import forwarded, stripped, token
from tests.unit.sending import (
    DECISIONS,
    Sent,
    Site,
    Sites,
    Way,
    content,
    sites,
    through,
)
from tests.unit.trusting import LONG_AGO, RESULTS, SIGNALS, codes

# The framework computes a default with utcnow, which Python 3.12 and later warn about.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """A deployment for each name."""
    with sites(tmp_path_factory.mktemp("sites")) as made:
        yield made


def _asked(headers: Callable[[], Mapping[str, str]], status: int = 401) -> Way:
    return lambda site, sent: site.decide(status, headers(), content(site, sent))


def _named_in_the_body(site: Site, sent: Sent) -> None:
    said = {**content(site, sent), "author": "ann@acme.example"}
    site.decide(400, forwarded(token()), said)


def _headers_of_proxies() -> Mapping[str, str]:
    return {
        "X-Goog-Authenticated-User-Email": "accounts.google.com:ann@acme.example",
        "X-Goog-IAP-JWT-Assertion": token(),
        "X-Forwarded-User": "ann@acme.example",
        "X-Serverless-Authorization": f"Bearer {token()}",
    }


def _unsigned_token() -> Mapping[str, str]:
    header, claims, _ = token(header={"alg": "none"}).split(".")
    return forwarded(f"{header}.{claims}.")


def _of_an_older_digest(site: Site, sent: Sent) -> None:
    said = sent.content(site.world.place, site.world.other_image.digest, LONG_AGO)
    site.decide(409, forwarded(token()), said)


def _decided_elsewhere(status: int, **changes: str) -> Way:
    return lambda site, sent: site.decide(
        status,
        forwarded(token()),
        content(site, sent, replace(site.world.place, **changes)),
    )


DECISION_WAYS: dict[str, Way] = {
    "no token": _asked(dict),
    "headers of proxies": _asked(_headers_of_proxies),
    "a token whose signature is removed": _asked(
        lambda: {"Authorization": f"Bearer {stripped(token())}"}
    ),
    "an unsigned token": _asked(_unsigned_token),
    "a token signed by a stranger": _asked(lambda: forwarded(token("somebody else"))),
    "a token for another service": _asked(lambda: forwarded(token(aud="https://another.example"))),
    "a token by another issuer": _asked(lambda: forwarded(token(iss="https://issuer.example"))),
    "a token dated in the future": _asked(lambda: forwarded(token(iat=int(time.time()) + 3600))),
    "a token that has expired": _asked(lambda: forwarded(token(exp=int(time.time()) - 3600))),
    "an address that is not verified": _asked(lambda: forwarded(token(email_verified=False))),
    "an author named in the body": _named_in_the_body,
    "through the results' subscription": through(RESULTS),
    "through the signals' subscription": through(SIGNALS),
    "replayed of another digest": _of_an_older_digest,
    "replayed of another image": _decided_elsewhere(409, name="another"),
    "replayed of another pipeline": _decided_elsewhere(400, pipeline="none"),
}


def _is_possible_decision(sent: Sent, way: str) -> bool:
    if way in ("replayed of another digest", "replayed of another image"):
        return sent.of_digest
    return not sent.of_digest or way != "replayed of another pipeline"


FORGED_DECISIONS = [
    (kind, way)
    for kind, sent in DECISIONS.items()
    for way in DECISION_WAYS
    if _is_possible_decision(sent, way)
]


@pytest.mark.parametrize(("kind", "way"), FORGED_DECISIONS)
def test_a_forged_decision_changes_no_verdict(site: Sites, kind: str, way: str) -> None:
    """Whoever sends it, nobody is taken for somebody else, and nothing is stated."""
    here = site(f"forged {kind}", kind)
    before = here.world.before
    DECISION_WAYS[way](here, DECISIONS[kind])
    assert here.world.findings() == before


@pytest.mark.parametrize("kind", DECISIONS)
def test_the_true_decision_changes_it(site: Sites, kind: str) -> None:
    """With the token of whoever may call the function."""
    here = site(f"true {kind}", kind)
    before = codes(here.world.findings())
    here.decide(200, forwarded(token()), content(here, DECISIONS[kind]))
    assert codes(here.world.findings()) != before
