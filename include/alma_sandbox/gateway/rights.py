"""API keys and what each may do."""

from alma_sandbox.settings import Settings

AREAS = ("bibs", "conf", "users", "acq", "partners", "analytics")


def rights_of(settings: Settings, key: str) -> dict[str, str] | None:
    """Rights of a key: area -> ``rw`` or ``r``; None for a key that does not exist."""
    if key == settings.api_key:
        return dict.fromkeys(AREAS, "rw")
    if key == f"{settings.api_key}-ro":
        return dict.fromkeys(AREAS, "r")
    if key == f"{settings.api_key}-bibs":
        return {"bibs": "rw"}
    return None


def key_name(settings: Settings, key: str) -> str:
    """How the log names a key without writing it: its rights."""
    names = {
        settings.api_key: "full",
        f"{settings.api_key}-ro": "read-only",
        f"{settings.api_key}-bibs": "bibs",
    }
    return names.get(key, "unknown" if key else "none")


def may(settings: Settings, key: str, area: str, *, write: bool) -> bool:
    """Whether a key may read, or write, in an area."""
    rights = rights_of(settings, key) or {}
    return rights.get(area, "") == "rw" or (not write and rights.get(area) == "r")
