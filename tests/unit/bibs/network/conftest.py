"""An institution that is a member of a network zone: two sandboxes, and what the zone has."""

import pytest
import requests

from alma_etl.alma.sru import SruClient
from alma_etl.remote.limiter import LocalLimiter
from alma_sandbox import Settings, serve
from tests.e2e.items import ItemSandbox

NZ = "01ZZ_NETWORK"


@pytest.fixture(scope="module")
def zone():
    with serve(Settings(per_second=0, titles=20, institution=NZ, suffix="4400")) as running:
        yield running


@pytest.fixture(scope="module")
def sandbox_url(zone):
    with serve(Settings(per_second=0, titles=20), network=zone) as running:
        yield running.url


class Zone(ItemSandbox):
    """The network zone, and the imports of its member."""

    def __init__(self, url, imports):
        super().__init__(url)
        self.imports = imports
        imports.further["alma", "nz"] = imports.new_client(url)

    def has(self, number, *fields):
        return self.imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Of the network", *fields, alma=self)

    def delete(self, mms_id):
        headers = {"Authorization": "apikey sandbox"}
        requests.delete(f"{self.url}/almaws/v1/bibs/{mms_id}", headers=headers, timeout=30).raise_for_status()

    def link_by_staff(self, mms_id):
        """Copy a record of the zone to the catalogue, as staff do; the title's MMS id."""
        answer = self.imports.alma.post(f"/bibs?from_nz_mms_id={mms_id}", "<bib/>")
        return str(answer.json()["mms_id"])

    def with_sru(self, institution=NZ):
        self.settings(sru=True)
        client = SruClient(
            f"{self.url}/view/sru/{institution}", limiter=LocalLimiter(100_000), sleep=lambda _: None
        )
        self.imports.further["sru", "nz"] = client

    def profile(self, text=""):
        self.imports.profiles(f"profiles:\n  catalog: {{network: nz{text}}}\n")


@pytest.fixture
def network(zone, imports):
    found = Zone(zone.url, imports)
    found.reset()
    found.heal()
    found.forget()
    found.profile()
    yield found
    for client in imports.further.values():
        client.close()


def linked(imports):
    """The titles that are linked to the network zone: the zone's id of each, by its own."""
    bibs = imports.alma.state()["bibs"].items()
    return {mms_id: bib["linked_record"][1] for mms_id, bib in bibs if bib and bib.get("linked_record")}


def posts(imports):
    return [call for call in imports.alma.calls() if call["method"] != "GET"]
