"""The library systems of `config/dcb.yaml` as the pages show them: read at most once a minute."""

import logging
from collections.abc import Mapping
from functools import lru_cache

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.ui.connections import this_minute
from alma_etl.dcb.settings import SystemSettings

_log = logging.getLogger(__name__)
KnownSystems = Mapping[str, SystemSettings]


def remembered_systems() -> KnownSystems:
    """The systems by code; none where the settings cannot be read, with which a page is still a page."""
    return _found(this_minute())


@lru_cache(maxsize=1)
def _found(minute: int) -> KnownSystems:
    try:
        return dcb_hooks.dcb_settings().systems
    except Exception as problem:  # noqa: BLE001 - the bucket may be away in many ways
        _log.warning("The systems of config/dcb.yaml are not known now: %s", problem)
        return {}


def forget() -> None:
    """Read them again next time."""
    _found.cache_clear()
