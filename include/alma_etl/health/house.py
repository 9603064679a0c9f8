"""What every job stands on: the state store, the limiter, the bucket."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import SQLAlchemyError

from alma_etl.errors import InputProblem
from alma_etl.jobs.setup_checks import CONNECTION, UNREAD, SetupCheck, SetupRows
from alma_etl.remote.limiter import LimiterUnavailable
from alma_etl.store.bucket import Bucket
from alma_etl.store.db import StoreRefused, StoreUnavailable, open_engine, parse_url, store_problem
from alma_etl.store.upgrade import store_version

BUCKET_ERRORS = (BotoCoreError, ClientError, OSError)
"""What a bucket raises that cannot be used."""
ANSWERS = "answers"
"""The check that says whether a system could be read at all; without that the night's runs fail."""
_STORE = "the state store"
_BUCKET = "the bucket"


def check_store(store_url: Callable[[], str]) -> list[SetupCheck]:
    """The state store answers, and is at the revision that the code needs. ``store_url`` raises InputProblem where
    there is no usable connection."""
    rows, label = SetupRows(_STORE), "The state store is there, at the version that the code needs"
    try:
        url = parse_url(store_url())
        engine = open_engine(url)
        try:
            with engine.connect() as connection:
                version = store_version(connection)
        except SQLAlchemyError as problem:
            raise store_problem(problem, url, "for this check") from problem
        finally:
            engine.dispose()
    except InputProblem as problem:
        advice = "Create or correct the connection alma_etl_db."
        rows.missing(ANSWERS, label, said(problem), CONNECTION, advice)
    except StoreUnavailable as problem:
        advice = "Start the database, or correct the connection alma_etl_db: no run goes on without it."
        rows.unknown(ANSWERS, label, f"{UNREAD}{said(problem)}", CONNECTION, advice)
    except StoreRefused as problem:
        rows.unknown("store", label, f"{UNREAD}{said(problem)}", CONNECTION)
    else:
        if version.fits:
            rows.ok("store", label, version.sentence)
        else:
            rows.missing("store", label, version.sentence, "A shell on the host of Airflow", version.advice)
    return rows.rows


def check_limiter(redis_url: Callable[[], str | None]) -> list[SetupCheck]:
    """The store of the rate limiter answers, where it is not the state store."""
    rows, label = SetupRows("the limiter"), "The store of the rate limiter answers"
    try:
        url = redis_url()
        if url is None:
            rows.ok(ANSWERS, label, "The state store keeps the limiter.")
            return rows.rows
        from alma_etl.store.limiter_redis import RedisBudget

        budget = RedisBudget(url, "alma_health_check")
        try:
            budget.look()
        finally:
            budget.close()
    except ValueError as problem:
        rows.missing(ANSWERS, label, said(problem), CONNECTION, "Correct the connection limiter_default.")
    except LimiterUnavailable as problem:
        advice = "Start the Redis or Valkey, or correct or delete the connection limiter_default: without it no call "
        advice += "is made to an Alma."
        rows.unknown(ANSWERS, label, f"{UNREAD}{said(problem)}", CONNECTION, advice)
    else:
        rows.ok(ANSWERS, label, "The Redis or Valkey of limiter_default does.")
    return rows.rows


def check_bucket(bucket: Bucket, probe: str) -> list[SetupCheck]:
    """The bucket can be listed, written, read and deleted from. ``probe``: the key of the object that is written and
    deleted again."""
    rows, label = SetupRows(_BUCKET), f"The bucket {bucket.name} can be listed and read"
    advice = "Correct the connection aws_default or ALMA_ETL_BUCKET, create the bucket, or give the user its rights."
    try:
        next(iter(bucket.list("config/")), None)
        bucket.find("config/none")
    except BUCKET_ERRORS as problem:
        _refused(rows, ANSWERS, label, problem, CONNECTION, advice)
        return rows.rows
    rows.ok(ANSWERS, label, "It can.")
    _check_writing(bucket, probe, rows)
    return rows.rows


def _refused(rows: SetupRows, check: str, label: str, problem: Exception, where: str, advice: str) -> None:
    """The server said no, or nobody knows: it gave no answer, or is ill."""
    answer = problem.response if isinstance(problem, ClientError) else {}
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    if isinstance(problem, OSError) or status < 500:
        rows.missing(check, label, said(problem), where, advice)
    else:
        rows.unknown(check, label, f"{UNREAD}{said(problem)}", where, advice)


def _check_writing(bucket: Bucket, probe: str, rows: SetupRows) -> None:
    label, at = f"The bucket {bucket.name} can be written to", "The policy of the bucket's user"
    content = b"alma_health_check\n"
    try:
        bucket.put(probe, content, "text/plain")
        if bucket.find(probe) != content:
            found = "What was written was not there to be read at once."
            rows.missing("bucket_write", label, found, at, "Use a server whose reads follow its writes.")
        else:
            rows.ok("bucket_write", label, "It can.")
    except BUCKET_ERRORS as problem:
        _refused(rows, "bucket_write", label, problem, at, "Let the user write objects.")
        with suppress(*BUCKET_ERRORS):  # an answer that was lost may stand for an object that was written
            bucket.delete([probe])
        return
    label = f"Objects of the bucket {bucket.name} can be deleted"
    try:
        bucket.delete([probe])
    except BUCKET_ERRORS as problem:
        advice = f"Let the user delete objects: dropped files are moved away. Delete {probe} by hand."
        _refused(rows, "bucket_delete", label, problem, at, advice)
    else:
        rows.ok("bucket_delete", label, "They can.")


def said(problem: Exception) -> str:
    """What an error says, as a sentence with its stop."""
    return f"{str(problem).strip().rstrip('.')}."
