"""A real image, made and looked at with other people's tools: busybox, umoci and skopeo."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dev.services import MissingPart
from promotion.registry.manifest import OCI_INDEX
from promotion.registry.reference import Digest, digest_of

KINDS = {
    "OCI image": ("amd64",),
    "Docker image": ("amd64", "--format=v2s2"),
    "OCI index": ("index", "--all"),
    "Docker index": ("index", "--all", "--format=v2s2"),
}
"""The kinds of image that can be pushed: what is taken from the layout, and how."""

_PLATFORMS = ("amd64", "arm64")
_PACKAGES = {"busybox": "busybox-static", "skopeo": "skopeo", "umoci": "umoci"}


@dataclass(frozen=True)
class Busybox:
    """An OCI layout with an image of busybox for each of two platforms, and an index of both."""

    layout: Path

    def push(self, image: str, kind: str = "OCI image") -> Digest:
        """Push to a registry as an image of that kind, and return its digest there."""
        name, *options = KINDS[kind]
        source = f"oci:{self.layout}:{name}"
        _skopeo("copy", *options, "--dest-tls-verify=false", source, f"docker://{image}")
        return digest_of(raw_manifest(image))


def pack(folder: Path) -> Busybox:
    """Pack busybox as a root file system of its own.

    Raises:
        MissingPart: A program is not installed.
    """
    root = _root_file_system(folder / "rootfs")
    layout = folder / "layout"
    _run("umoci", "init", f"--layout={layout}")
    for platform in _PLATFORMS:
        image = f"--image={layout}:{platform}"
        release = folder / platform
        release.write_text(f"busybox for {platform}\n", encoding="utf-8")
        _run("umoci", "new", image)
        _run("umoci", "insert", "--rootless", image, str(root), "/")
        _run("umoci", "insert", "--rootless", image, str(release), "/etc/release")
        _run("umoci", "config", image, f"--architecture={platform}", "--config.cmd=/bin/sh")
    _add_index(layout)
    return Busybox(layout)


def raw_manifest(image: str) -> bytes:
    """The bytes of the manifest that an image reference names."""
    return _skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{image}")


def contents(image: str, folder: Path) -> dict[str, bytes]:
    """Everything that an image is made of, each manifest and each blob, by its file's name."""
    _skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{image}", f"dir:{folder}")
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _root_file_system(root: Path) -> Path:
    applets = _run("busybox", "--list").decode().split()
    (root / "bin").mkdir(parents=True)
    shutil.copy(str(shutil.which("busybox")), root / "bin" / "busybox")
    for applet in set(applets) - {"busybox"}:
        (root / "bin" / applet).symlink_to("busybox")
    return root


def _add_index(layout: Path) -> None:
    """Add an index of the layout's images; its bytes are such as no serialiser would write."""
    entry_point = layout / "index.json"
    entries = json.loads(entry_point.read_bytes())
    children = [
        {
            **{key: entry[key] for key in ("mediaType", "digest", "size")},
            "platform": {"os": "linux", "architecture": platform},
        }
        for platform, entry in zip(_PLATFORMS, entries["manifests"], strict=True)
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}
    content = json.dumps(index, indent=3).encode() + b"\n"
    digest = digest_of(content)
    (layout / "blobs" / digest.replace(":", "/")).write_bytes(content)
    entries["manifests"].append(
        {
            "mediaType": OCI_INDEX,
            "digest": digest,
            "size": len(content),
            "annotations": {"org.opencontainers.image.ref.name": "index"},
        }
    )
    entry_point.write_text(json.dumps(entries), encoding="utf-8")


def _skopeo(*arguments: str) -> bytes:
    # Without a policy for signatures of its own, as where only the program was installed.
    return _run("skopeo", "--insecure-policy", *arguments)


def _run(program: str, *arguments: str) -> bytes:
    if not shutil.which(program):
        package = _PACKAGES[program]
        raise MissingPart(f"{program} is not installed: apt-get install {package}")
    return subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE).stdout
