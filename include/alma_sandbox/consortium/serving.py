"""Running a pretend consortium: in the foreground for the command, in a thread for tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from alma_sandbox.consortium.app import create_app
from alma_sandbox.consortium.settings import ConsortiumSettings
from alma_sandbox.consortium.world import Consortium
from alma_sandbox.http.server import run_app, serve_app


@dataclass(frozen=True)
class RunningConsortium:
    """A consortium that runs in a thread. Read ``consortium`` only while no call is under way."""

    url: str
    consortium: Consortium


def run(settings: ConsortiumSettings, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` gets the base URL. OSError when the port is taken."""
    run_app(create_app(settings), port, ready)


@contextmanager
def serve_consortium(
    settings: ConsortiumSettings | None = None, *, port: int = 0
) -> Iterator[RunningConsortium]:
    """Run a consortium in a thread of this process for the time of a ``with`` block."""
    app = create_app(settings)
    with serve_app(app, port=port) as url:
        yield RunningConsortium(url, app.state.consortium)
