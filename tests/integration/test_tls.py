"""Registries that are not on this machine's loopback names: TLS, a private authority, a proxy.

The registry is called registry.example; a proxy of the test's own knows where that is.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dev import images
from dev.services import Service, docker_registry
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from promotion.registry.transport import Transport

NAME = "registry.example"


@dataclass(frozen=True)
class Authority:
    """The files of a private certificate authority and of the registry it vouches for."""

    authority: Path
    certificate: Path
    key: Path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: str, issuer: str) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A throwaway authority, and a certificate of its for the registry."""
    folder = tmp_path_factory.mktemp("authority")
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = (
        _builder("a private authority", "a private authority")
        .public_key(root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signing_usage(), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _builder(NAME, "a private authority")
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    files = Authority(folder / "authority.pem", folder / "certificate.pem", folder / "key.pem")
    files.authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    files.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def _signing_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.fixture(scope="module")
def secure_registry(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A registry that speaks TLS."""
    tls = {"certificate": str(authority.certificate), "key": str(authority.key)}
    with docker_registry(tmp_path_factory.mktemp("secure"), tls=tls) as service:
        yield service


@dataclass
class Tunnel:
    """An HTTP proxy that connects everybody to one address, whatever name they ask for."""

    url: str
    asked: list[str]
    shown: list[str]


@pytest.fixture
def tunnel(secure_registry: Service) -> Iterator[Tunnel]:
    """A proxy that knows where the registry is."""
    asked: list[str] = []
    shown: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode().split()[1])
            while line := self.rfile.readline().strip():
                name, _, value = line.decode().partition(": ")
                if name.lower() == "proxy-authorization":
                    shown.append(value)
            address = ("127.0.0.1", secure_registry.port)
            with socket.create_connection(address) as upstream:
                self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                _relay(self.connection, upstream)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Tunnel(f"http://127.0.0.1:{server.server_address[1]}", asked, shown)
        server.shutdown()
        thread.join()


def _relay(one: socket.socket, other: socket.socket) -> None:
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)


@pytest.fixture
def image(registry: Service, transport: Transport, name: str) -> str:
    """An image in a registry on loopback."""
    repository = RepositoryClient(Repository(registry.host, name), transport)
    images.push_image(repository, [b"layer"], tag="1.0")
    return f"{repository.repository}:1.0"


def promotion(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, which reads these variables at its start."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("SSL_")
    }
    command = [sys.executable, "-m", "promotion", *arguments]
    variables: Mapping[str, str] = {**inherited, "DOCKER_CONFIG": "/nonexistent", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


def test_a_private_authority_is_trusted_where_it_is_named(
    image: str, authority: Authority, tunnel: Tunnel, name: str
) -> None:
    """With SSL_CERT_FILE and HTTPS_PROXY an image goes over TLS, there and back."""
    trusted = {"SSL_CERT_FILE": str(authority.authority), "HTTPS_PROXY": tunnel.url}
    there = promotion("copy", image, f"{NAME}/{name}:1.0", **trusted)
    assert there.returncode == 0, there.stderr
    back = promotion("copy", f"{NAME}/{name}:1.0", f"{image}-back", **trusted)
    assert back.returncode == 0, back.stderr
    assert set(tunnel.asked) == {f"{NAME}:443"}


def test_a_proxy_is_shown_its_password_and_nobody_else_is(
    image: str, authority: Authority, tunnel: Tunnel, name: str
) -> None:
    """It goes with the request for a tunnel, not through it, and to no screen."""
    proxy = tunnel.url.replace("://", "://user:p%40ss@")
    trusted = {"SSL_CERT_FILE": str(authority.authority), "HTTPS_PROXY": proxy}
    there = promotion("copy", image, f"{NAME}/{name}:1.0", LOG_LEVEL="DEBUG", **trusted)
    assert there.returncode == 0, there.stderr
    assert set(tunnel.shown) == {"Basic " + base64.b64encode(b"user:p@ss").decode()}
    assert not any(secret in there.stdout + there.stderr for secret in ("p%40ss", "p@ss"))


def test_an_unknown_authority_is_refused(image: str, tunnel: Tunnel, name: str) -> None:
    """Without it the certificate is not accepted, and the error says so."""
    ended = promotion("copy", image, f"{NAME}/{name}:1.0", HTTPS_PROXY=tunnel.url)
    assert ended.returncode == 1
    assert "name its authority's file in SSL_CERT_FILE" in ended.stderr


def test_no_proxy_is_honoured(image: str, authority: Authority, tunnel: Tunnel, name: str) -> None:
    """A host in NO_PROXY is asked directly, where nobody of that name is found."""
    ended = promotion(
        "copy",
        image,
        f"{NAME}/{name}:1.0",
        SSL_CERT_FILE=str(authority.authority),
        HTTPS_PROXY=tunnel.url,
        NO_PROXY=f"127.0.0.1,{NAME}",
    )
    assert ended.returncode == 1
    assert "gave no answer" in ended.stderr
    assert tunnel.asked == []
