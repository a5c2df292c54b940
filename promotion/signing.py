"""Who signs statements, and whose signatures count.

Whatever can write to a repository can write a statement there, so what counts is the signature
alone. A key id is only what an envelope says of itself: each signature is tried with each trusted
key, and one that fits is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from promotion.dsse import Envelope, Signature, pre_authentication_encoding
from promotion.errors import BadConfiguration
from promotion.keys import PrivateKey, PublicKey
from promotion.kms import KmsSigner
from promotion.pipeline import Signing
from promotion.registry.fetch import Fetch

_LONGEST_KEY_ID = 64


class NotTrusted(Exception):
    """An envelope whose payload does not count; the text is the reason."""


class Signer(Protocol):
    """Signs statements."""

    @property
    def public_key(self) -> str:
        """The PEM form of the public key that verifies its signatures; empty if it has none.

        Raises:
            BadConfiguration, Retryable: It cannot be had.
        """

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        """An envelope with the payload and a signature.

        Raises:
            BadConfiguration, Retryable: It cannot be signed.
        """


class KeyFileSigner:
    """Signs with a private key in a file; what it signs again has the same signature again."""

    def __init__(self, path: str) -> None:
        """Read the key.

        Raises:
            BadConfiguration: The file cannot be read, or holds something else.
        """
        if _is_pem(path):
            # The text must not repeat it.
            raise BadConfiguration("signing.key is a key; write it to a file, and name that here")
        self._key = PrivateKey.parse(_read(path, "signing.key"), f"signing.key ({path})")
        self.public_key = self._key.public.pem

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        """An envelope with the payload and a signature."""
        signature = self._key.sign(pre_authentication_encoding(payload_type, payload))
        return Envelope(payload_type, payload, (Signature(signature, self._key.public.key_id),))


class Unsigned:
    """Signs nothing, for an installation whose promotion.yaml does not say who should."""

    public_key = ""

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        """An envelope with the payload alone."""
        return Envelope(payload_type, payload)


class Verifier(Protocol):
    """Says whether an envelope's payload counts."""

    def verify(self, envelope: Envelope) -> str:
        """The id of the key that vouches for the payload and its type; empty if none need.

        Raises:
            NotTrusted: Its payload does not count.
            BadConfiguration, Retryable: Nothing can be verified.
        """


class TrustedKeys:
    """Trusts what one of some keys has signed."""

    def __init__(self, keys: Sequence[PublicKey]) -> None:
        self._keys = keys

    def verify(self, envelope: Envelope) -> str:
        """The id of the first trusted key that has signed it.

        Raises:
            NotTrusted: None has.
        """
        content = envelope.to_be_signed
        for signature in envelope.signatures:
            for key in self._keys:
                if key.verifies(signature.value, content):
                    return key.key_id
        raise NotTrusted(_why_not(envelope))


class TrustedSigner:
    """Trusts what a signer signs; its key is asked for when the first envelope is verified."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def verify(self, envelope: Envelope) -> str:
        """The id of the signer's key, if that has signed it.

        Raises:
            NotTrusted: It has not.
            BadConfiguration, Retryable: The key cannot be had.
        """
        return self._keys.verify(envelope)

    @cached_property
    def _keys(self) -> TrustedKeys:
        pem = self._signer.public_key.encode("ascii")
        return TrustedKeys([PublicKey.parse(pem, "The signer's public key")])


class TrustAll:
    """Trusts everybody who can write to the registry, for an installation that does not sign."""

    def verify(self, envelope: Envelope) -> str:  # noqa: ARG002 - the protocol's parameter
        """No key has to vouch for it."""
        return ""


def signer_and_verifier(signing: Signing | None, fetch: Fetch) -> tuple[Signer, Verifier]:
    """Who signs and whom to trust, as promotion.yaml says: the signer alone, if it names nobody.

    Raises:
        BadConfiguration: A file cannot be read, or does not hold the key that it should.
    """
    if signing is None:
        return Unsigned(), TrustAll()
    signer: Signer = KmsSigner(signing.kms, fetch) if signing.kms else KeyFileSigner(signing.key)
    return signer, _trusted_keys(signing) if signing.trusted else TrustedSigner(signer)


def check_trusted(signing: Signing | None, signer: Signer) -> None:
    """Refuse a signer whose statements would not count, where its key is in a file.

    A key of Cloud KMS is not asked for at start: with the first statement will do.

    Raises:
        BadConfiguration: signing.trusted does not hold its public key; or as for
            ``signer_and_verifier``.
    """
    if signing is None or not signing.trusted or not isinstance(signer, KeyFileSigner):
        return
    if signer.public_key not in {key.pem for key in _named_keys(signing)}:
        raise BadConfiguration(
            f"signing.trusted does not hold the public key of signing.key ({signing.key}), so"
            f" nothing that it signs would count; add this to signing.trusted:\n{signer.public_key}"
        )


def verifier(signing: Signing | None, fetch: Fetch) -> Verifier:
    """Whom to trust, for those who only read: the signer's key is needed only if none is named.

    Raises:
        BadConfiguration: As for ``signer_and_verifier``.
    """
    if signing is not None and signing.trusted:
        return _trusted_keys(signing)
    return signer_and_verifier(signing, fetch)[1]


def trusted_in(keys: bytes) -> TrustedKeys:
    """Trust the public keys in a text, PEM, one after the other.

    Raises:
        BadConfiguration: It holds something else.
    """
    end = b"-----END PUBLIC KEY-----\n"
    texts = [text + end for text in keys.split(end) if text.strip()]
    return TrustedKeys([PublicKey.parse(text, "A stored public key") for text in texts])


def public_keys(signing: Signing | None, signer: Signer) -> str:
    """The public keys whose signatures count, in PEM form, one after the other.

    Raises:
        BadConfiguration, Retryable: As for ``signer_and_verifier``, and for ``Signer.public_key``.
    """
    if signing is not None and signing.trusted:
        return "".join(key.pem for key in _named_keys(signing))
    return signer.public_key


def _trusted_keys(signing: Signing) -> TrustedKeys:
    return TrustedKeys(_named_keys(signing))


def _named_keys(signing: Signing) -> list[PublicKey]:
    entries = enumerate(signing.trusted)
    return [_trusted_key(each, f"signing.trusted[{at}]") for at, each in entries]


def _trusted_key(entry: str, name: str) -> PublicKey:
    """Read a PEM text, or the file with one whose path stands in its place."""
    if _is_pem(entry):
        return PublicKey.parse(entry.encode(errors="replace"), name)
    return PublicKey.parse(_read(entry, name), f"{name} ({entry})")


def _is_pem(entry: str) -> bool:
    return "-----" in entry or "\n" in entry


def _read(path: str, name: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise BadConfiguration(f"{name}: {path!r} cannot be read ({reason})") from error


def _why_not(envelope: Envelope) -> str:
    if not envelope.signatures:
        return "it is not signed"
    claimed = ", ".join(
        ascii(each.key_id[:_LONGEST_KEY_ID]) for each in envelope.signatures if each.key_id
    )
    return f"no trusted key has signed it; it names {claimed or 'no key'}"
