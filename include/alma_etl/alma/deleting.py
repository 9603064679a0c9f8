"""DELETE calls. Doing it twice is doing it once, so the client repeats them after a lost answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alma_etl.alma.call import Call, params
from alma_etl.alma.envelope import Reply
from alma_etl.remote.answers import Answer, ask

if TYPE_CHECKING:
    from alma_etl.alma.client import AlmaClient


def delete(
    client: AlmaClient, path_: str, absent: frozenset[str], **values: str | int | bool | None
) -> Answer[None]:
    """Found when it was deleted, Absent when it was gone already (also when a first attempt whose answer was
    lost had done it), Unknown when Alma refused it (`error.code`) or nobody knows. `values`: the query."""
    call = Call("DELETE", path_, params(**values), repeatable=True)
    return ask(lambda: client.call(call, _gone), absent)


def _gone(reply: Reply) -> None:
    # 204 alone says so. Another answer is asked again, which finds it gone if it was meant well.
    if reply.status != 204:
        raise ValueError("not the answer to a deletion")
