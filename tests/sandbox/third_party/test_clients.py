"""Independent Alma clients from PyPI work against the sandbox: not only our own client believes in it.

Each client is installed into an environment of its own, made by the test and gone with it.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alma_sandbox import Running, Settings, serve
from alma_sandbox.catalogue import ids

pytestmark = pytest.mark.timeout(600)

CLIENTS = Path(__file__).parent / "clients"
TITLES = 150
MEMBERS = [ids.mms_id(title) for title in range(TITLES)]


@pytest.fixture
def alma() -> Iterator[Running]:
    """A sandbox with Alma's usual threshold of 25 calls in any second."""
    with serve(Settings(titles=TITLES, per_second=25)) as running:
        yield running


def seen_by(folder: Path, url: str, script: str, *packages: str) -> dict[str, Any]:
    """What a client saw: installed into a new environment, run against the sandbox."""
    environment = folder / "environment"
    python = environment / "bin" / "python"
    uv = shutil.which("uv")
    if uv:
        make = [uv, "venv", "--quiet", "--python", sys.executable, str(environment)]
        install = [uv, "pip", "install", "--quiet", "--python", str(python), *packages]
    else:
        make = [sys.executable, "-m", "venv", str(environment)]
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    for command in (make, install):
        subprocess.run(command, check=True, timeout=600, cwd=folder)
    done = subprocess.run(
        [str(python), str(CLIENTS / script), url, ids.ALL_TITLES_SET, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def holding_ids(alma: Running, mms_id: str) -> list[str]:
    return [holding.holding_id for holding in alma.sandbox.catalogue.holdings_of(mms_id)]


def check_made(alma: Running, made: dict[str, str], title: str) -> None:
    """What the client created is in the sandbox, at its place."""
    catalogue = alma.sandbox.catalogue
    bib, item = catalogue.bib(made["mms_id"]), catalogue.item(made["pid"])
    assert bib is not None
    assert item is not None
    assert bib.record.data("245")[0].first("a") == title
    assert (item.mms_id, item.holding_id) == (made["mms_id"], made["holding_id"])


def test_almapy(alma: Running, tmp_path: Path) -> None:
    seen = seen_by(tmp_path, alma.url, "use_almapy.py", "almapy==9.3.1")
    assert seen["members"] == seen["bibs"] == MEMBERS[:60]
    assert seen["total"] == TITLES
    first = alma.sandbox.catalogue.holdings_of(MEMBERS[0])[0]
    expected = {"id": first.holding_id, "library": first.library, "location": first.location}
    assert seen["holding"] == expected
    assert seen["holding_xml"] == first.holding_id
    assert seen["libraries"] == ["MAIN", "SCI", "LAW", "STOR", "RES_SHARE"]
    check_made(alma, seen["made"], "Made by almapy")
    assert seen["by_barcode"] == seen["made"]["pid"]
    assert seen["items"] == 1
    assert (seen["request"], seen["loan"]) == ("IN_PROCESS", "ACTIVE")
    assert seen["scanned"][0] == "HOLDSHELF"
    assert "On Hold Shelf" in seen["scanned"][1]
    assert [name for name, _ in seen["errors"]] == [
        "MMSIdNotFoundError",
        "BarcodeNotFoundError",
        "UserNotFoundError",
        "InvalidFieldError",
    ]


def test_almapiwrapper(alma: Running, tmp_path: Path) -> None:
    packages = ("almapiwrapper==1.9.7", "requests==2.34.2", "lxml==6.1.3", "pandas", "openpyxl")
    seen = seen_by(tmp_path, alma.url, "use_almapiwrapper.py", *packages)
    assert seen["members"] == MEMBERS
    bib = alma.sandbox.catalogue.bib(MEMBERS[0])
    assert bib is not None
    assert seen["title"] == bib.record.data("245")[0].first("a")
    assert seen["holdings"] == holding_ids(alma, MEMBERS[0])
    first = alma.sandbox.catalogue.holdings_of(MEMBERS[0])[0]
    assert seen["library"] == first.library
    assert seen["items"] == [item.pid for item in alma.sandbox.catalogue.items_of(first.holding_id)]
    assert seen["by_barcode"] == seen["made"]["pid"]
    assert seen["changed"] == "Changed by almapiwrapper"
    assert seen["user"] == "patron003"
    assert [failed for failed, _ in seen["errors"]] == [True, True]
    assert all(message for _, message in seen["errors"])
    assert seen["deleted"] is True
    assert alma.sandbox.catalogue.bib(seen["made"]["mms_id"]) is None


def test_almapipy(alma: Running, tmp_path: Path) -> None:
    seen = seen_by(tmp_path, alma.url, "use_almapipy.py", "almapipy==1.0.3", "requests==2.34.2")
    assert seen["members"] == MEMBERS[:100]
    assert seen["total"] == TITLES
    assert seen["bibs"] == MEMBERS[:20]
    assert seen["holdings"] == holding_ids(alma, MEMBERS[0])
    assert f'<controlfield tag="001">{seen["holdings"][0]}' in seen["anies"]
    assert seen["items"] == len(alma.sandbox.catalogue.items_of_bib(MEMBERS[0]))
    assert ids.ALL_TITLES_SET in seen["sets"]
    assert seen["user"] == "patron003"
    check_made(alma, seen["made"], "Made by almapipy")
    assert len(seen["errors"]) == 2
    assert all("402203" in message for message in seen["errors"])
    assert not [entry for entry in alma.sandbox.log.entries if "sandbox" in entry.query]
