# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model store modules over TLS, against an S3 server that the test starts with a certificate of a new CA.

The server is built from local/components.toml, so no cluster is needed. The test's proxy resolves the names below
store.test, which no DNS server resolves, so that virtual-hosted bucket names can be tested.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local import cache, programs, table
from local.progress import Progress
from local.settings import Settings

from .helpers import wait_until
from .test_model_store import MIB, PART, Modules

DOMAIN = "store.test"
SECRET = "of-the-tls-test"


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, signed_by: ec.EllipticCurvePrivateKey, *names: x509.GeneralName
) -> x509.Certificate:
    """A certificate for these names; without names, that of a CA."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signed_by, hashes.SHA256())


@dataclass
class Gateway:
    """The S3 server; ca: the file of its CA; proxied: the hosts to which the proxy was asked to connect."""

    port: int
    ca: Path
    proxy: str = ""
    proxied: list[str] = field(default_factory=list)

    def modules(self, env: dict[str, str] | None = None, **options: Any) -> Modules:
        where = {
            "bucket": "models",
            "endpoint_url": f"https://127.0.0.1:{self.port}",
            "region": "us-east-1",
            "access_key": "owner",
            "secret_key": SECRET,
            "ca_bundle": str(self.ca),
            **options,
        }
        return Modules({name: value for name, value in where.items() if value is not None}, env)


@pytest.fixture(scope="module")
def gateway(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    program = programs.product(table.load().programs["versitygw"], settings)
    with cache.locked(settings.cache):
        cache.build_missing([program], Progress())
    folder = tmp_path_factory.mktemp("tls")
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _number in range(2))
    ca = _certificate("test CA", ca_key, ca_key)
    names = [x509.DNSName(DOMAIN), x509.DNSName(f"*.{DOMAIN}"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = _certificate(DOMAIN, key, ca_key, *names)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "store").mkdir()
    command = [program.path, "--port", f"127.0.0.1:{port}", "--quiet", "--virtual-domain", DOMAIN]
    command += ["--cert", folder / "cert.pem", "--key", folder / "key.pem", "posix", folder / "store"]
    env = {**os.environ, "ROOT_ACCESS_KEY": "owner", "ROOT_SECRET_KEY": SECRET}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, process, folder / "log")
        found = Gateway(port, folder / "ca.pem")
        found.modules().store.create()
        yield found
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    def not_listening() -> str | None:
        """None, or the server's log while nothing listens on the port."""
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            return log.read_text()
        return None

    wait_until(not_listening, lambda text: text is None, 30, pause=0.05, what="the S3 server listens")


@pytest.fixture
def proxied(gateway: Gateway) -> Iterator[Gateway]:
    """The server behind a proxy that connects every host to it."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            """Print nothing."""

        def do_CONNECT(self) -> None:
            gateway.proxied.append(self.path)
            with socket.create_connection(("127.0.0.1", gateway.port)) as there:
                self.send_response(200)
                self.end_headers()
                ends = {self.connection: there, there: self.connection}
                while True:
                    for source in select.select([*ends], [], [])[0]:
                        if not (data := source.recv(65536)):
                            return
                        ends[source].sendall(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        gateway.proxy = f"http://127.0.0.1:{server.server_address[1]}"
        gateway.proxied.clear()
        yield gateway
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.bin").write_bytes(os.urandom(PART + MIB))
    (source / "metadata.json").write_bytes(b"{}")
    return source


def there_and_back(modules: Modules, folder: Path, version: str) -> None:
    """Upload twice, list and download, as a user does."""
    published = modules.upload(folder, version=version)
    assert published.get("uploaded") == ["manifest.json", "metadata.json", "model.bin"], published
    assert modules.upload(folder, version=version)["requests"] == 1
    (found,) = modules.run("spaces_info", name="model", version=version)["versions"]
    assert (found["complete"], found["digest"]) == (True, published["digest"])
    dest = folder.with_name("dest")
    fetched = modules.run("spaces_download", dest=str(dest), name="model", version=version)
    assert fetched.get("changed") is True, fetched
    assert (dest / "model.bin").read_bytes() == (folder / "model.bin").read_bytes()


def refused(modules: Modules, folder: Path) -> str:
    """Run each module, assert that all fail with the same message, and return it."""
    results = [
        modules.upload(folder, version="refused"),
        modules.run("spaces_info"),
        modules.run("spaces_download", dest=str(folder.with_name("dest")), name="model", version="refused"),
    ]
    assert all(result.get("failed") for result in results), results
    (message,) = {result["msg"] for result in results}
    assert "\n" not in message and SECRET not in str(results)
    return str(message)


def test_with_the_ca(gateway: Gateway, folder: Path) -> None:
    there_and_back(gateway.modules(), folder, "ca")


def test_with_the_ca_of_the_environment(gateway: Gateway, folder: Path) -> None:
    there_and_back(gateway.modules({"AWS_CA_BUNDLE": str(gateway.ca)}, ca_bundle=None), folder, "env")


def test_without_the_ca(gateway: Gateway, folder: Path) -> None:
    message = refused(gateway.modules(ca_bundle=None), folder)
    assert message.startswith(f"The certificate of https://127.0.0.1:{gateway.port} is not trusted (")
    assert "set ca_bundle to the authority that signed it" in message


def test_a_host_that_is_missing_from_the_certificate(gateway: Gateway, folder: Path) -> None:
    endpoint = f"https://localhost:{gateway.port}"
    message = refused(gateway.modules(endpoint_url=endpoint), folder)
    assert message.startswith(f"The certificate of {endpoint} is not trusted (") and "localhost" in message
    there_and_back(gateway.modules(endpoint_url=endpoint, validate_certs=False, ca_bundle=None), folder, "unchecked")


def test_http_to_a_tls_port(gateway: Gateway, folder: Path) -> None:
    refused(gateway.modules(endpoint_url=f"http://127.0.0.1:{gateway.port}"), folder)


@pytest.mark.parametrize(("style", "host"), [("virtual", f"models.{DOMAIN}"), ("path", DOMAIN), ("auto", DOMAIN)])
def test_through_a_proxy_with_the_bucket_in_host_or_path(proxied: Gateway, folder: Path, style: str, host: str) -> None:
    env = {name: proxied.proxy for name in ("HTTPS_PROXY", "https_proxy")} | {"NO_PROXY": "", "no_proxy": ""}
    modules = proxied.modules(env, endpoint_url=f"https://{DOMAIN}", addressing_style=style)
    there_and_back(modules, folder, f"proxied-{style}")
    assert {*proxied.proxied} == {f"{host}:443"}


def test_a_missing_proxy(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    modules = gateway.modules({"HTTPS_PROXY": proxy, "https_proxy": proxy}, endpoint_url=f"https://{DOMAIN}")
    assert (
        modules.run("spaces_info")["msg"] == f"https://{DOMAIN} cannot be reached; check endpoint_url and the network."
    )
