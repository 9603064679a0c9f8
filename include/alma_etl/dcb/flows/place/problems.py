"""Why a step did not succeed, kept for the step that reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alma_etl.dcb.sides.ports import Unsettled
from alma_etl.errors import RunStopped
from alma_etl.jobs.folder import RunFiles
from alma_etl.remote.errors import RemoteStop

_NAME = "problem.txt"


@contextmanager
def keeping(files: RunFiles) -> Iterator[None]:
    """Keep the sentence of an error that ends the block; that of an earlier attempt goes. The error goes on."""
    files.bucket.delete([files.key(_NAME)])
    try:
        yield
    except (RunStopped, RemoteStop, Unsettled) as problem:
        files.bucket.put(files.key(_NAME), str(problem).encode(), "text/plain; charset=utf-8")
        raise


def kept(files: RunFiles) -> str | None:
    """The sentence of the step that failed; None when it left none, as a killed worker does."""
    found = files.bucket.find(files.key(_NAME))
    return None if found is None else found.decode()
