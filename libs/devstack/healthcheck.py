"""Asks one service how it is, for container engines: exit code 0 when well, 1 otherwise.

Uses the standard library only, because it starts every few seconds. The listener is verified
against the trust file that Watcher writes; before that file exists nobody can be well.
"""

import argparse
import http.client
import ssl
import sys
from pathlib import Path
from typing import Final

_TIMEOUT_S: Final = 3.0


def ask(*, port: int, path: str, trust_file: Path) -> str:
    """Return the empty string when the listener on this machine answers 200, else why not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The trust file holds intermediates only; without this flag OpenSSL insists on a root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(trust_file)
        connection = http.client.HTTPSConnection(
            "localhost", port, timeout=_TIMEOUT_S, context=context
        )
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as err:
        return f"no answer: {err}"
    return "" if response.status == http.client.OK else f"{response.status}: {body}"


def main() -> int:
    """Ask as the arguments say and return the exit code."""
    parser = argparse.ArgumentParser(prog="devstack.healthcheck", description=__doc__)
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--path", default="/healthz")
    parser.add_argument("--trust", type=Path, default=Path("/run/trust/current/ca.pem"))
    parser.add_argument(
        "--exists", type=Path, action="append", default=[], help="a file that must be there too"
    )
    arguments = parser.parse_args()
    missing = [str(path) for path in arguments.exists if not path.exists()]
    problem = f"missing: {', '.join(missing)}" if missing else ""
    problem = problem or ask(port=arguments.port, path=arguments.path, trust_file=arguments.trust)
    sys.stdout.write(problem or "well")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
