"""Many bibs at once, with an answer for each: the cheapest look that Alma offers, made safe."""

import logging
from collections.abc import Iterator, Sequence

from alma_etl.alma.bibs import MAX_BATCH, NO_BIB, Bib
from alma_etl.alma.client import AlmaClient
from alma_etl.counted import counted
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteMalformed, RemoteRefused, RemoteTimeout, RemoteTransient

log = logging.getLogger(__name__)


def in_batches(mms_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in lists of as many as one call takes."""
    for start in range(0, len(mms_ids), MAX_BATCH):
        yield mms_ids[start : start + MAX_BATCH]


def read_bibs(
    client: AlmaClient, mms_ids: Sequence[str], *, availability: bool
) -> dict[str, Found[Bib] | Absent | Unknown]:
    """Three answers for each id. A batch that times out or cannot be read is halved, down to the title at
    fault. An id that the answer leaves out costs a request of its own before it counts as absent."""
    alone = len(mms_ids) == 1
    try:
        bibs = _read_batch(client, mms_ids, availability=availability)
    except (RemoteTransient, RemoteRefused) as error:
        if alone:
            refused = isinstance(error, RemoteRefused) and error.code in NO_BIB
            return {mms_ids[0]: Absent(error) if refused else Unknown(error)}
        half = len(mms_ids) // 2
        log.warning("A batch of %s is halved: %s", counted(len(mms_ids), "title"), error)
        return {
            **read_bibs(client, mms_ids[:half], availability=availability),
            **read_bibs(client, mms_ids[half:], availability=availability),
        }
    # Alma leaves out unknown ids without a word, and has been seen to leave out known ones: each is asked for.
    return {
        mms_id: Found(bibs[mms_id]) if mms_id in bibs else client.bibs.read(mms_id, availability=availability)
        for mms_id in mms_ids
    }


def _read_batch(client: AlmaClient, mms_ids: Sequence[str], *, availability: bool) -> dict[str, Bib]:
    """One batch. What its size may have caused is not tried again at that size; anything else is, with
    patience."""
    if len(mms_ids) > 1:
        try:
            return client.bibs.read_many(mms_ids, availability=availability, attempts=1)
        except (RemoteTimeout, RemoteMalformed):
            raise
        except RemoteTransient as error:
            log.info("%s; again", error)
    return client.bibs.read_many(mms_ids, availability=availability)
