"""An independent client: reads and verifies statements with plain HTTP and OpenSSL alone.

Nothing of it comes from the product, so what both agree upon is what the standards say.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

from dev.services import MissingPart

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Place:
    """A repository of a registry that speaks plain HTTP."""

    def __init__(self, http: urllib3.PoolManager, repository: str) -> None:
        host, _, path = repository.partition("/")
        self._http = http
        self._url = f"http://{host}/v2/{path}"

    def get(self, path: str) -> bytes:
        """Fetch something that is there."""
        answer = self._http.request("GET", f"{self._url}/{path}", headers={"Accept": _MANIFEST})
        assert answer.status == 200, answer.data
        return answer.data

    def attestations(self, image: str) -> Iterator[str]:
        """The digests or tags of what is attested of an image."""
        answer = self._http.request("GET", f"{self._url}/referrers/{image}")
        if answer.status == 200:
            for each in json.loads(answer.data)["manifests"]:
                if each["artifactType"] == _BUNDLE:
                    yield each["digest"]
            return
        form = re.escape(image.replace(":", "-")) + r"\.[0-9a-f]{48}"
        for tag in json.loads(self.get("tags/list"))["tags"]:
            if re.fullmatch(form, tag):
                yield tag

    def bundle(self, attestation: str) -> dict[str, Any]:
        """The Sigstore bundle that an attestation holds."""
        manifest = json.loads(self.get(f"manifests/{attestation}"))
        assert manifest["artifactType"] == _BUNDLE
        (layer,) = manifest["layers"]
        bundle: dict[str, Any] = json.loads(self.get(f"blobs/{layer['digest']}"))
        return bundle

    def statements(self, image: str, public_key: Path, folder: Path) -> list[dict[str, Any]]:
        """Everything that is attested of an image and was signed with this key."""
        bundles = [self.bundle(each) for each in self.attestations(image)]
        return [
            json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
            for bundle in bundles
            if is_signed(bundle, public_key, folder)
        ]


def is_signed(bundle: dict[str, Any], public_key: Path, folder: Path) -> bool:
    """Whether OpenSSL takes a bundle's signature for one of this key."""
    openssl = shutil.which("openssl")
    if not openssl:
        raise MissingPart("openssl is not installed: apt-get install openssl")
    envelope = bundle["dsseEnvelope"]
    (signature,) = envelope["signatures"]
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    lengths = [str(len(each)).encode() for each in (kind, payload)]
    signed, value = folder / "signed", folder / "signature"
    signed.write_bytes(b" ".join([b"DSSEv1", lengths[0], kind, lengths[1], payload]))
    value.write_bytes(base64.b64decode(signature["sig"]))
    command = [openssl, "dgst", "-sha256", "-verify", str(public_key)]
    command += ["-signature", str(value), str(signed)]
    return subprocess.run(command, stdout=subprocess.PIPE).stdout == b"Verified OK\n"
