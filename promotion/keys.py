"""Key pairs of the one kind that signs here: ECDSA on the curve P-256, with SHA-256.

cryptography takes up to a tenth of a second to load, which an installation without signatures need
not pay: it is loaded with the first key.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from promotion.errors import BadConfiguration

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

_WRONG_KIND = "is a key of another kind than ECDSA on the curve P-256, the only one that signs here"


class PublicKey:
    """A public key.

    Attributes:
        key_id: The SHA-256 of its DER form (SubjectPublicKeyInfo), in hexadecimal.
        pem: Its PEM form.
    """

    def __init__(self, key: EllipticCurvePublicKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        form = PublicFormat.SubjectPublicKeyInfo
        self._key = key
        self.key_id = hashlib.sha256(key.public_bytes(Encoding.DER, form)).hexdigest()
        self.pem = key.public_bytes(Encoding.PEM, form).decode("ascii")

    @classmethod
    def parse(cls, pem: bytes, name: str) -> PublicKey:
        """Read a PEM text; the name is what error texts call it.

        Raises:
            BadConfiguration: It is no public key, more than one, or of another kind.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        if pem.count(b"-----BEGIN ") > 1:
            raise BadConfiguration(f"{name} is more than one key; give each an entry of its own")
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadConfiguration(
                f"{name} is not a public key in PEM form, from -----BEGIN PUBLIC KEY-----"
                " to -----END PUBLIC KEY-----"
            ) from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
            raise BadConfiguration(f"{name} {_WRONG_KIND}")
        return cls(key)

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Whether the signature is this key's, and over this content."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            self._key.verify(signature, content, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


class PrivateKey:
    """A private key.

    Attributes:
        public: The public key that goes with it.
    """

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new key."""
        from cryptography.hazmat.primitives.asymmetric import ec

        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def parse(cls, pem: bytes, name: str) -> PrivateKey:
        """Read a PEM text; the name is what error texts call it.

        Raises:
            BadConfiguration: It is no private key, encrypted, or of another kind.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(pem, password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm) as error:
            raise BadConfiguration(
                f"{name} is not an unencrypted private key in PEM form;"
                " `promotion keygen` makes one"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != ec.SECP256R1.name:
            raise BadConfiguration(f"{name} {_WRONG_KIND}")
        return cls(key)

    def to_pem(self) -> bytes:
        """Its PEM form, which is the secret itself."""
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, content: bytes) -> bytes:
        """A signature in DER; always the same for the same content (RFC 6979)."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(content, ECDSA(SHA256(), deterministic_signing=True))
