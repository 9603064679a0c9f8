"""The style sheet and the scripts of the pages. They hold nothing of anybody: whoever is logged in may load them."""

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import FileResponse, Response

from alma_airflow.ui.guards import may_look
from alma_airflow.ui.rendering import STATIC

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES = {path.name: path for path in STATIC.iterdir() if path.suffix in _TYPES}

router = APIRouter()


@router.get("/static/{name}", dependencies=[Depends(may_look)])
def static_file(name: str) -> Response:
    """A file of the folder `static`, by name."""
    path = _FILES.get(name)
    if path is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)
