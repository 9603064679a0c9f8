"""Connections of type `http`: mod-dcb, dcb-service, the receivers of webhooks."""

import re
from typing import Any

from airflow.sdk.log import mask_secret

from alma_airflow.hooks.extras import service_url
from alma_airflow.hooks.store import find_connection
from alma_etl.errors import InputProblem
from alma_etl.remote.service import HttpAccess


def http_access(conn_id: str) -> HttpAccess:
    """How to reach the service of a connection.

    Host: its URL, with a path where it has one (edge-dcb: ``https://edge.example.org/dcbService``). Without
    ``http://`` it is reached by https. Password: the API key (of a webhook: the secret that its messages are
    signed with). A service that wants a token (dcb-service behind Keycloak) has ``token_url`` in the extra; then login
    and password are the client's id and secret. ``timeout`` in the extra: seconds for one exchange, else 30.

    Raises InputProblem for a connection that cannot be used as it stands.
    """
    connection = find_connection(conn_id)
    if connection is None:
        raise InputProblem(f"There is no connection {conn_id}: create it, of type http, for the service")
    extra = connection.extra_dejson
    secret = connection.password or None
    if secret:
        # A connection's password is masked by itself in a worker, but not under `airflow dags test`.
        mask_secret(secret)
    url = service_url(connection, "the service's URL", "https://edge.example.org/dcbService")
    timeout = _timeout(conn_id, extra.get("timeout"))
    token_url = str(extra.get("token_url") or "") or None
    if token_url is None:
        return HttpAccess(url, api_key=secret, timeout=timeout)
    if not connection.login or not secret:
        raise InputProblem(
            f"The connection {conn_id} has a token_url, but no client: put its id into the login "
            "and its secret into the password"
        )
    return HttpAccess(
        url, client_id=connection.login, client_secret=secret, token_url=token_url, timeout=timeout
    )


def web_hook_url(conn_id: str) -> str:
    """The address of a web hook, such as Slack's or Teams': a secret, and so the password of a connection of type http.

    Raises InputProblem, without the address, for a connection that has none.
    """
    connection = find_connection(conn_id)
    if connection is None or connection.conn_type != "http":
        raise InputProblem(f"There is no connection {conn_id} of type http: create it for the web hook")
    url = (connection.password or "").strip()
    if url:
        mask_secret(url)
    if not re.match(r"https?://[^\s/]", url):
        raise InputProblem(
            f"The password of the connection {conn_id} is no address of a web hook: https://..."
        )
    return url


def _timeout(conn_id: str, given: Any) -> float:
    try:
        timeout = float(given) if given not in (None, "") else 30.0
    except (TypeError, ValueError):
        timeout = 0.0
    if not 0 < timeout <= 600:
        raise InputProblem(f"The connection {conn_id}: timeout in the extra must be seconds, up to 600")
    return timeout
