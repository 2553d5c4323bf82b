"""The small programs inside containers: first credentials, health, reloads."""

import http.server
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from devstack.healthcheck import ask
from devstack.seeding import seed
from tests.deploy.deployment import ROOT

pytestmark = pytest.mark.deploy


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    source = tmp_path / "delivered"
    source.mkdir()
    for name in ("role_id", "secret_id", "instance", "identity.seed"):
        (source / name).write_text(f"first {name}")
    return source


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    return place


def test_first_credentials_are_copied_privately(delivered: Path, home: Path) -> None:
    assert seed(delivered, home)

    assert (home / "secret_id").read_text() == "first secret_id"
    assert (home / "state" / "identity.seed").read_text() == "first identity.seed"
    assert (home / "secret_id").stat().st_mode & 0o777 == 0o600


def test_a_secret_id_that_replaced_itself_is_not_taken_back(delivered: Path, home: Path) -> None:
    seed(delivered, home)
    (home / "secret_id").write_text("its own successor")

    assert not seed(delivered, home)
    assert (home / "secret_id").read_text() == "its own successor"


def test_credentials_delivered_anew_are_taken(delivered: Path, home: Path) -> None:
    seed(delivered, home)
    (delivered / "secret_id").write_text("second")

    assert seed(delivered, home)
    assert (home / "secret_id").read_text() == "second"


def test_an_identity_delivered_anew_does_not_take_back_the_secret_id(
    delivered: Path, home: Path
) -> None:
    seed(delivered, home)
    (home / "secret_id").write_text("its own successor")
    for name in ("instance", "identity.seed"):
        (delivered / name).write_text(f"second {name}")

    assert seed(delivered, home)
    assert (home / "secret_id").read_text() == "its own successor"
    assert (home / "state" / "instance").read_text() == "second instance"
    assert (home / "state" / "identity.seed").read_text() == "second identity.seed"


@pytest.mark.parametrize("mark", ["0" * 64, "not hexadecimal", ""])
def test_after_an_earlier_release_only_what_is_missing_is_copied(
    mark: str, delivered: Path, home: Path
) -> None:
    seed(delivered, home)
    (home / "state" / "instance").unlink()
    (home / "secret_id").write_text("its own successor")
    (home / ".delivered").write_text(mark)

    assert seed(delivered, home)
    assert not seed(delivered, home)
    assert (home / "secret_id").read_text() == "its own successor"
    assert (home / "state" / "instance").read_text() == "first instance"


def test_without_credentials_a_line_says_so(home: Path, tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "devstack.seeding", "--from", str(tmp_path), "--to", str(home)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert said.returncode == 2
    assert "holds no secret_id" in said.stderr


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def listener(authority: trustme.CA) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_health_is_asked_over_verified_tls(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    trusted, untrusted = tmp_path / "ca.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(trusted)
    stranger.cert_pem.write_to_path(untrusted)

    with listener(authority) as port:
        assert ask(port=port, path="/healthz", trust_file=trusted) == ""
        assert ask(port=port, path="/readyz", trust_file=trusted).startswith("503")
        assert "CERTIFICATE_VERIFY_FAILED" in ask(port=port, path="/healthz", trust_file=untrusted)
        assert "No such file" in ask(port=port, path="/healthz", trust_file=tmp_path / "absent.pem")


RUN = ROOT / "deploy" / "nats" / "run"
SERVER = """#!/bin/sh
trap 'echo reloaded' HUP
echo "running $*"
while :; do sleep 0.05; done
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The start of a NATS container, with a program in the server's place that tells."""
    (tmp_path / "nats-server").write_text(SERVER)
    (tmp_path / "nats-server").chmod(0o755)
    live = tmp_path / "live"
    live.symlink_to("live.d/1")
    with subprocess.Popen(
        ["/bin/sh", str(RUN)],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "LIVE": str(live)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process, live
        os.killpg(process.pid, signal.SIGKILL)


def test_a_server_is_told_of_every_replacement_of_its_files(
    server: tuple[subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    process, live = server
    assert process.stdout is not None
    assert process.stdout.readline() == "running --config /etc/nats/nats.conf\n"

    for version in (2, 3):
        (tmp_path / "next").symlink_to(f"live.d/{version}")
        (tmp_path / "next").replace(live)

        assert process.stdout.readline() == "reloaded\n"
