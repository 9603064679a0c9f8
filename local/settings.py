"""What can be set for the local stack, by environment variables; and where it keeps its things.

`.local` in the checkout holds everything that the stack writes; ALMA_LOCAL_FOLDER names another folder.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCAL = Path(os.environ.get("ALMA_LOCAL_FOLDER") or ROOT / ".local").resolve()
BUCKET = "alma-etl"
USER = "admin"


class SettingError(ValueError):
    """A setting that cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Settings:
    """Ports are None when they may be chosen; `titles` and `per_second` are the sandbox's."""

    ui_port: int | None = None
    s3_port: int | None = None
    s3_page_port: int | None = None
    sandbox_port: int | None = None
    borrower_port: int | None = None
    database_port: int | None = None
    titles: int = 400
    per_second: int = 25
    latency_ms: int = 0
    parallelism: int = 8
    own_dags: Path = ROOT / "own_dags"
    empty: bool = False  # start nothing by itself in a new folder

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """ALMA_UI_PORT, ALMA_S3_PORT, ALMA_S3_PAGE_PORT, ALMA_SANDBOX_PORT, ALMA_BORROWER_PORT, ALMA_DATABASE_PORT,
        ALMA_SANDBOX_TITLES (at least 400), ALMA_SANDBOX_PER_SECOND, ALMA_SANDBOX_LATENCY_MS, ALMA_PARALLELISM,
        ALMA_OWN_DAGS (a folder) and ALMA_UP_EMPTY (1 or 0). Raises SettingError."""
        return cls(
            ui_port=_port(environ, "ALMA_UI_PORT"),
            s3_port=_port(environ, "ALMA_S3_PORT"),
            s3_page_port=_port(environ, "ALMA_S3_PAGE_PORT"),
            sandbox_port=_port(environ, "ALMA_SANDBOX_PORT"),
            borrower_port=_port(environ, "ALMA_BORROWER_PORT"),
            database_port=_port(environ, "ALMA_DATABASE_PORT"),
            titles=_number(environ, "ALMA_SANDBOX_TITLES", 400, 400, 1_000_000),
            per_second=_number(environ, "ALMA_SANDBOX_PER_SECOND", 25, 1, 100_000),
            latency_ms=_number(environ, "ALMA_SANDBOX_LATENCY_MS", 0, 0, 60_000),
            parallelism=_number(environ, "ALMA_PARALLELISM", 8, 1, 32),
            own_dags=_folder(environ, "ALMA_OWN_DAGS", ROOT / "own_dags"),
            empty=bool(_number(environ, "ALMA_UP_EMPTY", 0, 0, 1)),
        )


def _number(environ: Mapping[str, str], name: str, default: int, lowest: int, highest: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not lowest <= int(text) <= highest:
        raise SettingError(f"{name}={text} cannot be used: give a whole number from {lowest} to {highest}.")
    return int(text)


def _folder(environ: Mapping[str, str], name: str, default: Path) -> Path:
    folder = Path(environ.get(name) or default).resolve()
    if not folder.is_dir():
        raise SettingError(f"{name}={folder} cannot be used: there is no such folder.")
    return folder


def _port(environ: Mapping[str, str], name: str) -> int | None:
    return _number(environ, name, 0, 1, 65_535) or None
