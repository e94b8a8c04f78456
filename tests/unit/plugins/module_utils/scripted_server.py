# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server on a real socket that runs a script for each connection, a tunneling proxy, and certificates for both."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Script = Callable[["Connection", int], None]


class Connection:
    """The interface of a script to a connection."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self._buffer = b""

    def request(self) -> tuple[str, bytes] | None:
        """Return head and body of the next request, or None if the client has closed."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _blank, self._buffer = self._buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value for name, _colon, value in (line.partition(": ") for line in lines[1:])}
        length = int(fields.get("content-length", "0"))
        while len(self._buffer) < length:
            if not self._more():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return head.decode(), body

    def answer(self, body: bytes = b"{}", status: str = "200 OK", *header: str) -> None:
        """Send a response with Content-Length."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *header, "", ""]
        self.raw.sendall("\r\n".join(lines).encode() + body)

    def reset(self) -> None:
        """Close with a reset, so that the client sees an error instead of the end."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()

    def _more(self) -> bool:
        data = self.raw.recv(65536)
        self._buffer += data
        return bool(data)


def echo(connection: Connection, _number: int) -> None:
    """Respond to every request with its body."""
    while (received := connection.request()) is not None:
        connection.answer(received[1] or b"{}")


class Server:
    """Runs the script for each connection, in a new thread."""

    def __init__(self, script: Script = echo, context: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._open: list[socket.socket] = []

    def __enter__(self) -> Server:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for raw in self._open:
            with contextlib.suppress(OSError):
                raw.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _address = self._listener.accept()
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                threading.Thread(target=self._serve, args=(raw, self.connections), daemon=True).start()

    def _serve(self, raw: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            if self._context:
                raw = self._secured(raw, self._context)
            self._open.append(raw)
            self._script(Connection(raw), number)
            raw.close()

    def _secured(self, raw: socket.socket, context: ssl.SSLContext) -> socket.socket:
        """Run the TLS handshake; if it fails, read to the end, or a reset would overtake the alert with the reason."""
        secure = context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        try:
            secure.do_handshake()
        except ssl.SSLError:
            plain = socket.socket(fileno=secure.detach())
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                pass
            plain.close()
            raise
        return secure


def tunnel(heads: list[str], status: str = "200 Connection established") -> Script:
    """Return the script of a proxy that records the heads of requests and forwards bytes after CONNECT."""

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def script(connection: Connection, _number: int) -> None:
        received = connection.request()
        assert received is not None
        heads.append(received[0])
        if not status.startswith("200"):
            connection.answer(b"no", status)
            return
        connection.raw.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
        host, _colon, port = received[0].split()[1].rpartition(":")
        with socket.create_connection((host, int(port))) as target:
            threading.Thread(target=pass_on, args=(target, connection.raw), daemon=True).start()
            pass_on(connection.raw, target)

    return script


class Authority:
    """A CA, and the certificates that it signs."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = str(folder / f"{name}.pem")
        # Python 3.13 verifies certificates strictly by RFC 5280.
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        )
        usage |= {"key_cert_sign": True, "crl_sign": True, "encipher_only": False, "decipher_only": False}
        certificate = self._certificate(
            self._name,
            self._key,
            {x509.BasicConstraints(ca=True, path_length=0): True, x509.KeyUsage(**usage): True},
        )
        Path(self.path).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str) -> str:
        """Return the path of a PEM file with a certificate for the name and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._certificate(subject, key, {x509.SubjectAlternativeName([x509.DNSName(name)]): False})
        path = self._folder / f"{name}.pem"
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(certificate.public_bytes(pem) + private)
        return str(path)

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: dict[x509.ExtensionType, bool]
    ) -> x509.Certificate:
        extensions = {
            **extensions,
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()): False,
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()): False,
        }
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        for extension, critical in extensions.items():
            builder = builder.add_extension(extension, critical=critical)
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        return builder.not_valid_after(now + datetime.timedelta(hours=1)).sign(self._key, hashes.SHA256())
