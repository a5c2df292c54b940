"""Envelopes: what is signed, what is written, and what of all that is sent is read."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion.dsse import (
    BUNDLE_TYPE,
    LARGEST,
    Envelope,
    NotAnEnvelope,
    Signature,
    pre_authentication_encoding,
)

TYPE = "application/vnd.in-toto+json"

envelopes = st.builds(
    Envelope,
    st.text(st.characters(codec="utf-8"), max_size=80),
    st.binary(max_size=200),
    st.lists(
        st.builds(Signature, st.binary(max_size=80), st.text(st.characters(codec="utf-8"))),
        max_size=8,
    ).map(tuple),
)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
almost_signatures = st.fixed_dictionaries(
    {"sig": st.just("AAAA") | anything}, optional={"keyid": anything, "more": anything}
)
almost_envelopes = st.fixed_dictionaries(
    {
        "payload": st.just("e30=") | anything,
        "payloadType": st.just(TYPE) | anything,
        "signatures": st.lists(almost_signatures) | anything,
    },
)
almost_bundles = st.fixed_dictionaries(
    {
        "mediaType": st.just(BUNDLE_TYPE) | anything,
        "dsseEnvelope": almost_envelopes | anything,
    },
    optional={"verificationMaterial": anything},
)


def written(**changes: object) -> bytes:
    """An envelope as JSON, with something changed or added."""
    envelope = {"payload": "e30=", "payloadType": TYPE, "signatures": [{"sig": "AAAA"}]}
    return json.dumps({**envelope, **changes}).encode()


def bundle(envelope: bytes) -> bytes:
    """A bundle around what may be an envelope."""
    return b'{"mediaType": "%b", "dsseEnvelope": %b}' % (BUNDLE_TYPE.encode(), envelope)


def test_lengths_are_of_bytes() -> None:
    """What is not ASCII counts by its encoding, and an empty part is a part."""
    assert pre_authentication_encoding("ü", b"") == b"DSSEv1 2 \xc3\xbc 0 "


@given(envelopes)
def test_what_is_written_is_read(envelope: Envelope) -> None:
    """And the same bytes are written again from what was read."""
    again = Envelope.from_bundle(envelope.to_bundle())
    assert again == envelope
    assert again.to_bundle() == envelope.to_bundle()


def test_a_bundle_is_as_sigstore_has_it() -> None:
    """Media type, the key's hint, and the envelope stand where Sigstore's v0.3 has them."""
    envelope = Envelope(TYPE, b"{}", (Signature(b"signature", "key"),))
    assert json.loads(envelope.to_bundle()) == {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": "key"}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": "e30=",
            "payloadType": TYPE,
            "signatures": [{"sig": "c2lnbmF0dXJl", "keyid": "key"}],
        },
    }


@pytest.mark.parametrize("payload", ["-_-_", "+/+/"])
def test_both_alphabets_of_base64_are_read(payload: str) -> None:
    """As the specification demands of whoever verifies."""
    assert Envelope.from_bundle(bundle(written(payload=payload))).payload == b"\xfb\xff\xbf"


@pytest.mark.parametrize(
    "signature", [{"sig": ""}, {"sig": "", "keyid": None}, {"sig": "", "x": 1}]
)
def test_what_may_be_left_out_may_be_left_out(signature: dict[str, object]) -> None:
    """A key id that is absent is empty, and fields that the specification lacks are ignored."""
    envelope = Envelope.from_bundle(bundle(written(signatures=[signature], more=[{}])))
    assert envelope.signatures == (Signature(b"", ""),)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        written()[:-1],
        written() + b"{}",
        written(payload=None),
        written(payload="e30"),
        written(payload="e3 0="),
        written(payload="é30="),
        written(payloadType=1),
        written(payloadType="\ud800"),
        written(signatures=None),
        written(signatures=["AAAA"]),
        written(signatures=[{"keyid": ""}]),
        written(signatures=[{"sig": "*"}]),
        written(signatures=[{"sig": ""}] * 9),
        written(more="x" * LARGEST),
        b'{"more": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    ],
)
def test_what_is_no_envelope_is_refused(content: bytes) -> None:
    """With a reason; what is too large or too deep is among it."""
    with pytest.raises(NotAnEnvelope, match=r"^it "):
        Envelope.from_bundle(bundle(content))


@pytest.mark.parametrize(
    "changes",
    [
        {"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2"},
        {"dsseEnvelope": None},
        {"messageSignature": {}, "dsseEnvelope": {}},
    ],
)
def test_other_bundles_are_refused(changes: dict[str, object]) -> None:
    """Those of another version, and those that hold no envelope."""
    empty = json.loads(Envelope(TYPE, b"{}").to_bundle())
    with pytest.raises(NotAnEnvelope):
        Envelope.from_bundle(json.dumps({**empty, **changes}).encode())


def test_a_statement_of_the_largest_size_fits() -> None:
    """64 KiB of payload, with a signature, are read again."""
    envelope = Envelope(TYPE, b"x" * 64 * 1024, (Signature(b"s" * 72, "k" * 64),))
    assert Envelope.from_bundle(envelope.to_bundle()) == envelope


@given(st.binary(max_size=100) | (anything | almost_bundles).map(json.dumps).map(str.encode))
def test_hostile_bytes_are_refused_or_read(content: bytes) -> None:
    """Whatever they are, there is an envelope, which can be verified and written, or a reason."""
    with suppress(NotAnEnvelope):
        envelope = Envelope.from_bundle(content)
        assert envelope.to_be_signed
        assert Envelope.from_bundle(envelope.to_bundle()) == envelope
