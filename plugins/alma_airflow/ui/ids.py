"""Ids in the path of a page."""

import re

from fastapi import HTTPException, Request

# Airflow's own rule for ids of DAGs and runs; with it no id can step out of its folder in the bucket.
_ID = re.compile(r"[A-Za-z0-9_.~:+-]{1,250}")


def possible_ids(request: Request) -> None:
    """No look at anything for ids that cannot be: neither Airflow's database nor a bucket takes every character."""
    for name in ("dag_id", "run_id"):
        found = request.path_params.get(name, "x")
        if not _ID.fullmatch(found) or ".." in found or found == ".":
            raise HTTPException(404)
