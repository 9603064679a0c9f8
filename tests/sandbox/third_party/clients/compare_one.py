"""Does one job with one Alma client against a sandbox and prints how far it came as JSON: run by `compare`.

`compare_one.py CLIENT JOB URL FOLDER STORE [id ...]`. Each job is done with as many calls at once as the client makes
by itself.
"""

import asyncio
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

client, job, url, folder, store, *given = sys.argv[1:]

RECORD = (
    "<record><leader>     nx  a22     1n 4500</leader>"
    '<controlfield tag="008">1011252u    8   4001uueng0000000</controlfield>'
    '<datafield ind1="0" ind2=" " tag="852"><subfield code="b">LAW</subfield>'
    '<subfield code="c">stacks</subfield></datafield></record>'
)
HOLDING = f"<holding>{RECORD}</holding>"
Jobs = dict[str, Callable[[], Iterable[Any]]]


def alma_airflow() -> Jobs:
    """This project's client."""
    from alma_etl.alma import tasks, writes
    from alma_etl.alma.client import AlmaClient
    from alma_etl.remote.answers import Found
    from alma_etl.store import open_limiter

    limiter = open_limiter(store_url=store, redis_url=None, budget="compare", requests_per_second=24)
    alma = AlmaClient(url, "sandbox", limiter=limiter, quota_floor=0, quota_floor_writes=0)

    def value(answer: Any) -> Any:
        if not isinstance(answer, Found):
            raise answer.error
        return answer.value

    def bibs() -> Iterable[Any]:
        return (value(answer) for _, answer in alma.in_parallel(alma.bibs.read, given))

    def members() -> Iterable[Any]:
        return tasks.set_members(alma, given[0], value(alma.sets.read(given[0])).number_of_members)

    def holding() -> Iterable[Any]:
        known = [row.holding_id for row in value(alma.holdings.list(given[0]))]
        written = writes.create_holding(alma, given[0], RECORD.encode(), known=known)
        if not written.done:
            raise written.error or RuntimeError(written.outcome)
        yield written.value

    return {"bibs": bibs, "members": members, "holding": holding}


def almapy() -> Jobs:
    """Asynchronous, with a rate limit of 25 a second and retries of its own."""
    import niquests
    from almapy import AlmaClient

    def done(work: Callable[[Any], Any]) -> Any:
        async def run() -> Any:
            async with niquests.AsyncSession(base_url=f"{url}/almaws/v1") as session:
                return await work(AlmaClient("sandbox", client=session))

        return asyncio.run(run())

    async def bibs(alma: Any) -> Any:
        answers = await asyncio.gather(*(alma.bibs.get_bib(each) for each in given), return_exceptions=True)
        rows = [each for each in answers if not isinstance(each, BaseException)]
        return rows, next((each for each in answers if isinstance(each, BaseException)), None)

    async def members(alma: Any) -> Any:
        rows: list[Any] = []
        while True:  # it has no call that reads all pages
            page = await alma.config.sets.get_members(given[0], limit=100, offset=len(rows))
            rows += [member.id for member in page.member]
            if len(rows) >= page.total_record_count or not page.member:
                return rows

    async def holding(alma: Any) -> Any:
        return [await alma.bibs.create_holding(given[0], HOLDING)]

    def all_bibs() -> Iterable[Any]:
        rows, error = done(bibs)
        yield from rows
        if error is not None:
            raise error

    return {"bibs": all_bibs, "members": lambda: done(members), "holding": lambda: done(holding)}


def almapiwrapper() -> Jobs:
    """One call after another; its base URLs are class attributes with the European host in them."""
    areas = [{"Area": area, "Permissions": "RW", "Env": "S"} for area in ("Bibs", "Conf")]
    areas += [{**area, "Permissions": "R"} for area in areas]
    keys = Path(folder) / "keys.json"
    keys.write_text(json.dumps({"ZONE": [{"API_Key": "sandbox", "Supported_APIs": areas}]}))
    os.environ["alma_api_keys"] = str(keys)  # noqa: SIM112 - its name for it
    from almapiwrapper.config import ItemizedSet
    from almapiwrapper.inventory import Holding, IzBib
    from almapiwrapper.record import XmlData

    for name, module in list(sys.modules.items()):
        for found in vars(module).values() if name.startswith("almapiwrapper") else ():
            for attribute, value in list(vars(found).items()) if isinstance(found, type) else ():
                if isinstance(value, str) and value.startswith("https://api-eu."):
                    setattr(found, attribute, value.replace("https://api-eu.hosted.exlibrisgroup.com", url))

    def bibs() -> Iterable[Any]:
        for mms_id in given:
            bib = IzBib(mms_id, "ZONE", "S")
            data = bib.data
            if bib.error or data is None:
                raise RuntimeError(bib.error_msg)
            yield data

    def holding() -> Iterable[Any]:
        made = Holding(bib=IzBib(given[0], "ZONE", "S"), data=XmlData(HOLDING.encode()), create_holding=True)
        if made.error:
            raise RuntimeError(made.error_msg)
        yield made.holding_id

    return {
        "bibs": bibs,
        "members": lambda: [bib.mms_id for bib in ItemizedSet(given[0], "ZONE", "S").get_members()],
        "holding": holding,
    }


def almapipy() -> Jobs:
    """One call after another; its region is copied into every sub-client."""
    from almapipy import AlmaCnxn

    def redirect(part: Any) -> None:
        for name, value in list(part.cnxn_params.items()):
            if isinstance(value, str):
                part.cnxn_params[name] = value.replace("https://api-na.hosted.exlibrisgroup.com", url)
        for inner in vars(part).values():
            if hasattr(inner, "cnxn_params"):
                redirect(inner)

    alma = AlmaCnxn("sandbox")
    redirect(alma)

    def members() -> Iterable[Any]:
        return [
            row["id"] for row in alma.conf.sets.get_members(given[0], limit=100, all_records=True)["member"]
        ]

    return {
        "bibs": lambda: (alma.bibs.catalog.get(mms_id)["mms_id"] for mms_id in given),
        "members": members,
        "holding": lambda: [alma.bibs.catalog.post_holding(HOLDING, given[0])],
    }


def main() -> None:
    jobs = {each.__name__: each for each in (alma_airflow, almapy, almapiwrapper, almapipy)}[client]()
    rows, said = [], ""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            for row in jobs[job]():
                rows.append(row)
        except SystemExit as error:
            said = f"SystemExit({error.code})"
        except Exception as error:
            said = type(error).__name__
    print(json.dumps({"rows": len(set(rows) if job == "members" else rows), "said": said}))


if __name__ == "__main__":
    main()
