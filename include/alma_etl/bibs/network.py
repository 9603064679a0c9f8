"""The network zone of an institution: where records without a title are looked up, and linked from.

A profile names the connection with the zone's key. The zone is read and never written: its record is linked into the
institution by the institution's own key, once, and edited where it lives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.sru import SruClient
from alma_etl.bibs.profiles import NEEDS_SRU, SETTINGS, BibProfile
from alma_etl.errors import InputProblem
from alma_etl.inventory.loaded_bibs import LoadedBibs, SqlLoadedBibs
from alma_etl.jobs.file_job import JobContext
from alma_etl.jobs.file_run import FileRun
from alma_etl.remote.errors import RemoteForbidden, RemoteUnauthorized

_RESULT = "network.json"


@dataclass(frozen=True)
class Network:
    """What the network zone is asked by: its client, its SRU where the connection has `sru_url`, and what imports into
    the zone itself made."""

    client: AlmaClient
    sru: SruClient | None
    memory: LoadedBibs


class _Zone(BaseModel):
    """The zone that `check_network` found, by gateway and institution."""

    model_config = ConfigDict(frozen=True)

    alma: str


def zone_of(run: FileRun) -> str:
    """Return which network zone the records of a run are looked up in, by gateway and institution; "" where none is."""
    profile: BibProfile = run.plan().profile
    found = run.find_model(_RESULT, _Zone) if profile.network is not None else None
    return found.alma if found is not None else ""


def network_key(nz_mms_id: str) -> str:
    """Return the name of a record of the network zone in the memory of what imports made."""
    return f"nz:{nz_mms_id}"


@contextmanager
def open_network(context: JobContext) -> Iterator[Network | None]:
    """The network zone of a run for a block, None where its profile names none."""
    run = context.folder
    conn_id = run.plan().profile.network
    if conn_id is None:
        yield None
        return
    with context.open_client("alma", conn_id) as client, context.open_client("sru", conn_id) as sru:
        zone = zone_of(run) or f"{client.host} {client.conf.general().key}"
        memory = SqlLoadedBibs(context.store_url(), zone)
        try:
            yield Network(client, sru, memory)
        finally:
            memory.close()


def check_network(context: JobContext, institution: str) -> None:
    """See that the network zone can be asked, and note which one it is. ``institution``: the code of the one that is
    imported into. Raises InputProblem, in words for whoever set the connection up, and RemoteError."""
    run = context.folder
    profile: BibProfile = run.plan().profile
    conn_id = profile.network
    if conn_id is None:
        return
    named = f"The connection {conn_id}, which `network` of the profile names,"
    if conn_id == context.connections.get("alma"):
        raise InputProblem(
            f"{named} is that of the institution: create one more of type alma, with the network zone's key"
        )
    with context.open_client("alma", conn_id) as client, context.open_client("sru", conn_id) as sru:
        try:
            client.test.read("bibs")
            general = client.conf.general()
        except (RemoteUnauthorized, RemoteForbidden) as refusal:
            raise InputProblem(
                f"{named} has a key that may not read the network zone: it needs Bibs (read) and Configuration "
                f"(read) there. {refusal}"
            ) from refusal
        found, zone = general.institution, f"{client.host} {general.key}"
    if found == institution:
        raise InputProblem(
            f"{named} has a key of the institution {institution} itself: it needs one of the network zone"
        )
    if sru is not None and sru.institution != found:
        raise InputProblem(
            f"{named} has an `sru_url` that leads to {sru.institution}, and a key of another institution, {found}"
        )
    missing = [method for method in profile.match if method in NEEDS_SRU]
    if missing and sru is None:
        raise InputProblem(
            f"The profile matches by {' and '.join(missing)}, which Alma's API cannot look up: set `sru_url` of the "
            f"connection {conn_id}, too, or leave it out of `match` in {SETTINGS.key}"
        )
    run.write_model(_RESULT, _Zone(alma=zone))
