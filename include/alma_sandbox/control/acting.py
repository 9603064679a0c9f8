"""What the actions of staff share: which values a body may give, and the call that they stand for."""

import json
from datetime import UTC, datetime
from typing import Any

from alma_sandbox.http.answers import Payload
from alma_sandbox.http.call import BASE, Call
from alma_sandbox.sandbox import Sandbox


def only(body: dict[str, Any], *names: str) -> None:
    """ValueError unless the body gives at least one of the names and nothing else."""
    unknown = sorted(set(body) - set(names))
    if unknown or not body:
        raise ValueError(f"give {' or '.join(names)}" + (f", not {', '.join(unknown)}" if unknown else ""))


def moment(text: str) -> datetime:
    """A time; one without an offset is taken as UTC. ValueError for anything else."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def staff_call(
    sandbox: Sandbox,
    path: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
    body: Payload | None = None,
) -> Call:
    """A call as Alma's own pages make it: past the gateway, with relative links."""
    raw = json.dumps(body).encode() if body else b""
    headers = {"content-type": "application/json"}
    return Call(sandbox, "POST", path or {}, query or {}, headers, raw, True, BASE)
