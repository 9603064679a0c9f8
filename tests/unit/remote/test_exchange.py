"""Failures of one exchange, sorted by whether anything was sent."""

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alma_etl.remote.auth import ApiKey
from alma_etl.remote.errors import RemoteConnectionError, RemoteNoConnectionError
from alma_etl.remote.exchange import Exchange, HttpRequest
from tests.unit.alma.scripted import KEY, Say, serve


def post(url: str) -> HttpRequest:
    return HttpRequest("POST", f"{url}/users/somebody", "POST /users/-", writes=True, body=b"{}")


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[str]:
    """The address of a server whose certificate nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, day = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), timedelta(days=1)
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day).sign(
        key, hashes.SHA256()
    )
    file = tmp_path / "server.pem"
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(
        key.private_bytes(pem, private, serialization.NoEncryption()) + certificate.public_bytes(pem)
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_nothing_is_sent_to_a_server_whose_certificate_cannot_be_verified(self_signed: str) -> None:
    with pytest.raises(RemoteNoConnectionError, match="certificate") as caught:
        Exchange(self_signed, ApiKey(KEY)).send(post(self_signed), timeout=20)
    assert not caught.value.effect_unknown


def test_a_connection_that_breaks_after_the_request_leaves_open_what_came_of_it() -> None:
    with serve() as server:
        server.says(Say(drop=True))
        with pytest.raises(RemoteConnectionError) as caught:
            Exchange(server.url, ApiKey(KEY)).send(post(server.url), timeout=20)
    assert caught.value.effect_unknown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__  # what lies below it names the user in its URL
