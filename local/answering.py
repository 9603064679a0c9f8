"""Whether the parts of a stack answer, with the keys that `make up` prints: what is printed is true."""

from collections.abc import Callable

import botocore.exceptions
import psycopg
import requests

from .airflow_api import AirflowApi, AirflowRefusedError
from .s3 import s3_client
from .stack import Addresses

TIMEOUT = 20


def silent_parts(addresses: Addresses) -> list[str]:
    """A sentence for each address that does not answer as it should; empty when all do."""
    found = []
    for what, where, ask in (
        ("Airflow", addresses.ui, _airflow),
        ("The S3 server", addresses.s3, _s3),
        ("The page of the S3 server", addresses.s3_page, _s3_page),
        ("The sandbox", addresses.sandbox, _alma(addresses.sandbox, addresses.sandbox_key)),
        ("The second sandbox", addresses.borrower, _alma(addresses.borrower, addresses.borrower_key)),
        ("PostgreSQL", addresses.database, _database),
    ):
        try:
            ask(addresses)
        except (
            requests.RequestException,
            AirflowRefusedError,
            botocore.exceptions.BotoCoreError,
            botocore.exceptions.ClientError,
            psycopg.Error,
        ) as error:
            reason = str(error).strip().partition("\n")[0]
            found.append(f"{what} does not answer at {where} ({type(error).__name__}: {reason}).")
    return found


def _airflow(addresses: Addresses) -> None:
    api = AirflowApi(addresses.ui, addresses.user, addresses.password)
    try:
        api.call("GET", "pools")
    finally:
        api.close()


def _s3(addresses: Addresses) -> None:
    s3_client(addresses.s3, addresses.s3_access_key, addresses.s3_secret_key).head_bucket(
        Bucket=addresses.bucket
    )


def _s3_page(addresses: Addresses) -> None:
    requests.get(addresses.s3_page, timeout=TIMEOUT).raise_for_status()


def _alma(url: str, key: str) -> Callable[[Addresses], None]:
    def ask(_: Addresses) -> None:
        headers = {"Authorization": f"apikey {key}"}
        requests.get(f"{url}/almaws/v1/conf/test", headers=headers, timeout=TIMEOUT).raise_for_status()

    return ask


def _database(addresses: Addresses) -> None:
    host, _, port = addresses.database.partition(":")
    with psycopg.connect(
        host=host,
        port=int(port),
        user=addresses.database_user,
        password=addresses.database_password,
        dbname="alma_etl",
        connect_timeout=TIMEOUT,
    ):
        pass
