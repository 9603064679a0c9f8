"""``python -m alma_sandbox.consortium``: a pretend mod-dcb and dcb-service on 127.0.0.1; prints its base URL first."""

import argparse
import sys

from alma_sandbox.consortium import ConsortiumSettings, run


def main() -> int:
    """Read the arguments and serve. Exit code 2 when the port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m alma_sandbox.consortium", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 = any free one (default)")
    parser.add_argument("--api-key", default="sandbox", help='key of mod-dcb (default "sandbox")')
    given = parser.parse_args()
    try:
        run(ConsortiumSettings(api_key=given.api_key), given.port, lambda url: print(url, flush=True))  # noqa: T201
    except OSError as error:
        sys.stderr.write(
            f"cannot listen on port {given.port}: {error.strerror}; choose another or --port 0\n"
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
