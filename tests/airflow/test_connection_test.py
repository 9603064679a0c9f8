"""The Test button's request, on its way through the middleware that leaves a port 0 out."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from alma_airflow.ui.test_button import PortlessTest

TEST = "/api/v2/connections/test"


async def echo(request: Request) -> JSONResponse:
    return JSONResponse(
        {"body": (await request.body()).decode(), "length": request.headers["content-length"]},
    )


def send(path: str, body: str, method: str = "POST") -> dict[str, str]:
    """What the application behind the middleware gets to see."""
    paths = (TEST, f"/prefix{TEST}", "/api/v2/connections")
    routes = [Route(path, echo, methods=["POST", "PATCH"]) for path in paths]
    app = Starlette(routes=routes, middleware=[Middleware(PortlessTest)])

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://airflow") as client:
            return await client.request(method, path, content=body)

    return asyncio.run(ask()).json()


@pytest.mark.parametrize("path", [TEST, f"/prefix{TEST}"])
def test_a_port_that_is_not_set_is_not_sent(path):
    got = send(path, '{"host": "http://ü", "port": 0}')
    assert got["body"] == '{"host": "http://\\u00fc"}'
    assert int(got["length"]) == len(got["body"])


@pytest.mark.parametrize(
    "body", ['{"port": 5432}', '{"port": null}', '{"host": "x"}', "[0]", "not json", "", '"' + "x" * 300_000]
)
def test_everything_else_is_passed_on_as_it_came(body):
    got = send(TEST, body)
    assert (got["body"], int(got["length"])) == (body, len(body))


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v2/connections"), ("PATCH", TEST)])
def test_other_requests_are_left_alone(method, path):
    assert send(path, '{"port": 0}', method)["body"] == '{"port": 0}'
