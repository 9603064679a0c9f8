"""The parts of a connection that several hooks read alike: its address, and an extra that a model describes."""

from typing import Any, TypeVar

from airflow.sdk import Connection
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import sentence_of


class ConnectionExtra(BaseModel):
    """The extra of a connection; what is missing, null or empty has its default."""

    model_config = ConfigDict(extra="ignore")

    @field_validator("*", mode="before")
    @classmethod
    def _empty_means_default(cls, value: object, info: Any) -> object:
        return cls.model_fields[info.field_name].get_default() if value in (None, "") else value


Extra = TypeVar("Extra", bound=ConnectionExtra)


def read_extra(connection: Connection, model: type[Extra]) -> Extra:
    """The extra of a connection. Raises InputProblem, one sentence."""
    try:
        return model.model_validate(connection.extra_dejson)
    except ValidationError as error:
        raise InputProblem(
            f"The extra of the connection {connection.conn_id} cannot be used: {sentence_of(error, model)}"
        ) from error


def service_url(connection: Connection, what: str, example: str) -> str:
    """The URL in a connection's host, with a path where it has one; without ``http://`` it is reached by https.

    Raises InputProblem, which says to put ``what`` there, such as ``example``, when the host is empty.
    """
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise InputProblem(
            f"The connection {connection.conn_id} has no host: put {what} there, such as {example}"
        )
    if "://" in host:
        return f"{host}:{connection.port}" if connection.port and host.count(":") == 1 else host
    scheme, path = connection.schema or "https", ""
    if scheme not in ("http", "https"):  # Airflow reads the path of a connection's URI into the schema
        scheme, path = "https", f"/{scheme.strip('/')}"
    place = f"{host}:{connection.port}" if connection.port else host
    return f"{scheme}://{place}{path}"
