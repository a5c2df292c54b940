"""Challenges: what is read from WWW-Authenticate, and what no header can do."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion.registry.challenge import Challenge, parse

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~", min_size=1, max_size=12)
PARAMETERS = st.dictionaries(NAMES, st.text(st.characters(codec="utf-8", exclude_categories=["C"])))
CHALLENGES = st.lists(st.builds(Challenge, NAMES, PARAMETERS), max_size=4)


def written(challenge: Challenge) -> str:
    """A challenge as RFC 9110 has it, every value quoted."""
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"")
        for name, value in challenge.parameters.items()
    }
    texts = ", ".join(f'{name}="{value}"' for name, value in escaped.items())
    return f"{challenge.scheme} {texts}" if texts else challenge.scheme


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        ("Basic", [("basic", {})]),
        ('Basic realm="a registry"', [("basic", {"realm": "a registry"})]),
        ("BEARER REALM=x", [("bearer", {"realm": "x"})]),
        (
            'Bearer realm="https://a.example/token",service="a.example",'
            'scope="repository:a:pull,push repository:b:pull"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://a.example/token",
                        "service": "a.example",
                        "scope": "repository:a:pull,push repository:b:pull",
                    },
                )
            ],
        ),
        (
            'Bearer realm="x", service="y", Basic realm="z"',
            [("bearer", {"realm": "x", "service": "y"}), ("basic", {"realm": "z"})],
        ),
        ('Negotiate, Basic realm="z"', [("negotiate", {}), ("basic", {"realm": "z"})]),
        ('Negotiate YII==, Basic realm="z"', [("negotiate", {}), ("basic", {"realm": "z"})]),
        (
            r'Basic realm="a \"quoted\" \\ word, and = more"',
            [("basic", {"realm": r'a "quoted" \ word, and = more'})],
        ),
    ],
)
def test_a_header_is_read_as_the_rfc_has_it(
    header: str, challenges: list[tuple[str, Mapping[str, str]]]
) -> None:
    """Schemes and names without regard to case, commas of either kind, escapes, opaque tokens."""
    assert parse(header) == tuple(Challenge(scheme, values) for scheme, values in challenges)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer realm=https://a.example/t?x=1,service=a.example",
        'Bearer  realm = "https://a.example/t?x=1" ,, service= "a.example" ,',
        'Bearer realm="https://a.example/t?x=1" service="a.example"',
        'Bearer,realm="https://a.example/t?x=1",service="a.example"',
        'Bearer realm="https://a.example/t?x=1",service="a.example",scope="',
        'Bearer realm="https://a.example/t?x=1",@@@,service="a.example",realm="other"',
    ],
)
def test_what_registries_write_instead_is_understood(header: str) -> None:
    """Missing quotes and commas, too many of them, and damaged parts keep nothing from the rest."""
    expected = {"realm": "https://a.example/t?x=1", "service": "a.example"}
    assert parse(header) == (Challenge("bearer", expected),)


def test_the_realm_and_the_service_are_empty_if_there_are_none() -> None:
    """A challenge without parameters answers questions about them."""
    (challenge,) = parse("Bearer")
    assert (challenge.realm, challenge.service) == ("", "")


@given(CHALLENGES)
def test_what_was_written_is_read(challenges: list[Challenge]) -> None:
    """Any list of challenges, written by the grammar, is read as what it was."""
    assert parse(", ".join(map(written, challenges))) == tuple(challenges)


@given(st.text(max_size=200) | st.text(r'aB ="\,;= 	', max_size=60))
def test_no_header_is_an_error(header: str) -> None:
    """Whatever stands in the header, reading it ends with challenges that have a scheme."""
    assert all(challenge.scheme for challenge in parse(header))


@pytest.mark.parametrize("part", ['"', '\\"', 'a="', "a=", "a ", ",", "a", " ", 'a="b",', '"\\'])
def test_no_header_takes_long(part: str) -> None:
    """The longest header that is read at all is read at once, however it repeats itself."""
    began = time.process_time()
    parse(("Bearer " + part * (16 * 1024))[: 16 * 1024])
    assert time.process_time() - began < 0.5


def test_a_header_of_any_length_is_no_challenge() -> None:
    """What is longer than any honest header says nothing."""
    assert parse('Bearer realm="' + "x" * 20_000 + '"') == ()
