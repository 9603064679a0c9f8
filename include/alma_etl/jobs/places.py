"""Where files are dropped, where they and what is made of them go, and which keys are accepted."""

import re
import unicodedata
from dataclasses import dataclass

from alma_etl.errors import InputProblem

_IN_TRANSIT = re.compile(r"^(\.|~\$)|\.(part|partial|filepart|tmp|crdownload|download)$", re.IGNORECASE)
_UNSAFE = re.compile(r"[^\w.()+, -]|(?<=\.)\.+")
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MAX_STEM = 100  # characters of a file's name that go into the names of its reports
_MAX_SLUG = 60  # and into the id of its run
_MARK = r"[0-9]{8}T[0-9]{6}Z__[0-9a-f]{16}"
_RUN_OF_A_FILE = re.compile(rf"[A-Za-z0-9-]{{1,{_MAX_SLUG}}}__({_MARK})")
# How rejects are called: the run's mark, the whole id as the version before wrote it, or the id of a run by hand
# (of which Airflow's own have a time with a dot; colons do not outlive every download).
_REJECTED = re.compile(
    rf"\.(?:(?:file__)?{_MARK}|[a-z_]+__\d{{4}}-\d\d-\d\dT[A-Za-z0-9_.~:+-]+?|[A-Za-z0-9_~:+-]+)\.rejected$"
)
# Airflow refuses or misreads an id that begins with one of these and two underscores. Its other run types have an
# underscore in their names, which no slug has.
_RUN_TYPES = frozenset({"manual", "scheduled", "backfill"})


@dataclass(frozen=True)
class Area:
    """One kind of dropped file: its folder of the bucket, and the DAG that works on it."""

    folder: str
    dag_id: str

    @property
    def incoming(self) -> str:
        """The prefix below which people drop files, each in the folder of a profile."""
        return f"{self.folder}/incoming/"

    def filed(self, *, loaded: bool, stem: str, run_id: str, extension: str) -> str:
        """The key under which a file rests after its run."""
        return f"{self.folder}/{'done' if loaded else 'failed'}/{stem}.{run_mark(run_id)}{extension}"

    def report(self, stem: str, run_id: str, ending: str) -> str:
        """The key of a report; `ending` is what follows the run, such as `.csv`."""
        return f"{self.folder}/reports/{stem}.{run_mark(run_id)}{ending}"

    def rejects(self, stem: str, run_id: str, extension: str) -> str:
        """The key of the rows that were not loaded, in the format in which they came."""
        return f"{self.folder}/rejects/{stem}.{run_mark(run_id)}.rejected{extension}"


ITEMS = Area("items", "item_creation")
ITEM_UPDATES = Area("item-updates", "item_update")
BIBS = Area("bibs", "bib_import")
AREAS = (ITEMS, ITEM_UPDATES, BIBS)
"""Where files are looked for; a further job that loads dropped files adds its own, and itself to `FILE_JOBS`."""


@dataclass(frozen=True)
class DroppedFile:
    """A file by its key. `profile` is the folder that it was dropped in, None for a file dropped elsewhere."""

    area: Area
    key: str
    profile: str | None

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its extension, made safe as a part of other names."""
        return safe_stem(self.name)

    @property
    def extension(self) -> str:
        """The extension with its dot and in small letters, "" when there is none worth keeping."""
        return extension_of(self.name)


def is_upload_in_transit(key: str) -> bool:
    """Whether the name is one that programs give to a file while they still write it, or to their own notes."""
    name = key.rpartition("/")[2]
    return not name or _IN_TRANSIT.search(name) is not None


def extension_of(name: str) -> str:
    """The extension of a name with its dot, in small letters; "" when it has none or a strange one."""
    match = re.search(r"[^.](\.[A-Za-z0-9]{1,8})$", name)
    return match[1].lower() if match else ""


def safe_stem(name: str) -> str:
    """A name without its extension, every character that could do harm in a key or a file name replaced by `_`.

    The ending that rejects get is no part of it, so that names do not grow when rejects are dropped again.
    """
    return _UNSAFE.sub("_", _plain_stem(name))[:_MAX_STEM].strip(" .") or "file"


def slug(name: str) -> str:
    """What the id of a run has of a file's name: ASCII letters, digits and `-`; `file` when nothing is left."""
    letters = unicodedata.normalize("NFKD", _plain_stem(name)).encode("ascii", "ignore").decode()
    found = re.sub(r"[^A-Za-z0-9]+", "-", letters).strip("-")[:_MAX_SLUG].rstrip("-")
    return "file" if not found or found in _RUN_TYPES else found


def run_mark(run_id: str) -> str:
    """What the names of a run's objects have of its id: the time and hash of a file's run, else the whole id."""
    match = _RUN_OF_A_FILE.fullmatch(run_id)
    return match[1] if match else run_id


def former_run_id(run_id: str) -> str:
    """How the version before this one called the run of the same version of a file."""
    return f"file__{run_mark(run_id)}"


def _plain_stem(name: str) -> str:
    plain = "".join(
        "_" if unicodedata.category(char)[0] == "C" else char for char in unicodedata.normalize("NFC", name)
    )
    extension = extension_of(plain)
    stem = plain[: len(plain) - len(extension)]
    while (shorter := _REJECTED.sub("", stem)) and shorter != stem:
        stem = shorter
    return stem


def dropped_file(area: Area, key: str, *, profile: str | None = None) -> DroppedFile:
    """The file of this key, checked: a key is not taken from a form, a message or a listing without a look.

    `profile` overrides the folder's. Accepted are keys below the area's own prefixes only. Raises InputProblem.
    """
    problem = _problem_of_key(area, key)
    if problem:
        raise InputProblem(f"The key {printable(key)} cannot be used: {problem}")
    if profile is None and key.startswith(area.incoming):
        folder, slash, _ = key.removeprefix(area.incoming).partition("/")
        if not slash:
            raise InputProblem(
                f"{printable(key)} lies in no profile's folder: drop it into {area.incoming}NAME/, where NAME is "
                "one of the profiles of the settings file"
            )
        profile = folder
    if profile is not None and not _PROFILE.fullmatch(profile):
        raise InputProblem(
            f"{printable(profile)} cannot be the name of a profile: use letters, digits, - and _ alone"
        )
    return DroppedFile(area, key, profile)


def _problem_of_key(area: Area, key: str) -> str | None:
    prefixes = tuple(f"{area.folder}/{name}/" for name in ("incoming", "done", "failed", "rejects"))
    if any(unicodedata.category(char)[0] == "C" for char in key):
        return "its name has a control character: rename the file and drop it again"
    if "\\" in key or any(part in ("", ".", "..") for part in key.split("/")):
        return "a part of it is empty, a dot, two dots, or has a backslash: rename the file and drop it again"
    if not key.startswith(prefixes):
        return f"it does not begin with {area.incoming}"
    return None


def printable(text: str) -> str:
    """A text from outside as it may stand in a log or a report: control characters made visible, and cut short."""
    shown = "".join(
        f"\\u{ord(char):04x}" if unicodedata.category(char)[0] == "C" else char for char in text[:300]
    )
    return shown if len(text) <= 300 else f"{shown}..."
