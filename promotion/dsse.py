"""DSSE envelopes: a payload, its type, and signatures over both (secure-systems-lab/dsse, v1.0.2).

An envelope is kept as a Sigstore bundle v0.3, the form that cosign attaches to images. Reading one
says nothing about who wrote it: that is for a verifier to say (signing.py), of this very envelope,
and not of its bytes read a second time.
"""

from __future__ import annotations

import base64
from typing import Annotated, Literal, Never

import msgspec
from msgspec import Meta

from promotion import typed

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
LARGEST = 128 * 1024

# Each signature is tried with each trusted key, so somebody's thousands would cost minutes.
_MOST_SIGNATURES = 8

_URL_SAFE = str.maketrans("-_", "+/")


class NotAnEnvelope(Exception):
    """Bytes that are no envelope, or no bundle that holds one; the text is the reason."""


class _SignatureWritten(msgspec.Struct, rename={"key_id": "keyid"}):
    sig: str
    # Not there, null or empty: all the same.
    key_id: str | None = None


class _EnvelopeWritten(msgspec.Struct, rename="camel"):
    payload: str
    payload_type: str
    signatures: Annotated[list[_SignatureWritten], Meta(max_length=_MOST_SIGNATURES)]


class _Hint(msgspec.Struct):
    hint: str


class _VerificationMaterial(msgspec.Struct, rename="camel"):
    public_key: _Hint
    # Some readers insist on the list of transparency log entries, though there are none.
    tlog_entries: list[Never] = []


class _BundleWritten(msgspec.Struct, rename="camel"):
    media_type: str
    verification_material: _VerificationMaterial
    dsse_envelope: _EnvelopeWritten


class _BundleRead(msgspec.Struct, rename="camel"):
    # The rest is hints, and proofs of transparency logs, which are not asked for here.
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    dsse_envelope: _EnvelopeWritten


class Signature(msgspec.Struct, frozen=True):
    """A signature over a payload and its type.

    Attributes:
        value: In the signer's format; for ECDSA, DER.
        key_id: Whose it claims to be: a hint, which nothing vouches for.
    """

    value: bytes
    key_id: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """A payload and its type, with what has been signed over both; perhaps nothing has."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def to_be_signed(self) -> bytes:
        """The bytes that its signatures are over."""
        return pre_authentication_encoding(self.payload_type, self.payload)

    @classmethod
    def from_bundle(cls, content: bytes) -> Envelope:
        """Read the envelope in a Sigstore bundle.

        Raises:
            NotAnEnvelope: There is none; the bundle is of another version, has a signature that is
                over something else, or more than 128 KiB.
        """
        return _envelope(_read(content).dsse_envelope)

    def to_bundle(self) -> bytes:
        """A Sigstore bundle with this envelope; the same bytes for the same envelope."""
        hint = self.signatures[0].key_id if self.signatures else ""
        material = _VerificationMaterial(_Hint(hint))
        return msgspec.json.encode(_BundleWritten(BUNDLE_TYPE, material, _written(self)))


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed in place of a payload and its type: no two pairs have the same."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _read(content: bytes) -> _BundleRead:
    if len(content) > LARGEST:
        raise NotAnEnvelope(f"it has {len(content):,} bytes, and {LARGEST:,} are read at most")
    try:
        return typed.decode(content, _BundleRead)
    except (ValueError, RecursionError) as error:
        raise NotAnEnvelope(f"it is not well formed: {error}") from error


def _envelope(written: _EnvelopeWritten) -> Envelope:
    try:
        return Envelope(
            written.payload_type,
            _bytes(written.payload),
            tuple(Signature(_bytes(each.sig), each.key_id or "") for each in written.signatures),
        )
    except ValueError as error:
        raise NotAnEnvelope(f"it is not well formed: {error}") from error


def _written(envelope: Envelope) -> _EnvelopeWritten:
    signatures = [_SignatureWritten(_text(each.value), each.key_id) for each in envelope.signatures]
    return _EnvelopeWritten(_text(envelope.payload), envelope.payload_type, signatures)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.translate(_URL_SAFE), validate=True)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
