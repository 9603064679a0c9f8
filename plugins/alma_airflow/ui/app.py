"""The application of the pages, imported when somebody first asks for one.

Every process of Airflow loads the plugin, those of tasks too; only the API server needs FastAPI and what it stands on.
"""

from importlib import import_module

from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application: that of `pages`."""
    pages = await run_in_threadpool(import_module, "alma_airflow.ui.pages")
    await pages.app(scope, receive, send)
