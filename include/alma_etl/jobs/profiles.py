"""Profiles: what holds for all rows of the files in one folder, unless a row says otherwise."""

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import Form, SettingsFile, nearest


class JobProfile(BaseModel):
    """Base of the profiles of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dry_run: bool = False

    def sentences(self) -> list[str]:
        """What the profile does, for people who choose one: all its settings, unless a job has better words."""
        given = self.model_dump(mode="json", exclude={"dry_run"}, exclude_none=True)
        found = [f"{name}: {value}" for name, value in given.items() if value not in ("", [], {})]
        return [*found, *self.dry_run_sentence()]

    def dry_run_sentence(self) -> list[str]:
        """That the profile writes nothing, where it does not."""
        return ["A dry run: nothing is written, the report says what would be."] if self.dry_run else []


OneProfile = TypeVar("OneProfile", bound=JobProfile)


class JobProfiles(BaseModel, Generic[OneProfile]):
    """The settings file of a job: profiles by the name of their folder, and bounds for all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profiles: dict[
        Annotated[
            str,
            Form(
                r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
                "the name of a folder: letters, digits, - and _, at most 64",
            ),
        ],
        OneProfile,
    ]
    max_file_mb: Annotated[float, Field(gt=0, le=10_000)] = 100
    chunk_size: Annotated[int, Field(ge=1, le=10_000)] = 500


def profile_named(
    settings: JobProfiles[OneProfile],
    name: str | None,
    file: SettingsFile[JobProfiles[OneProfile]],
    gives: str,
) -> OneProfile:
    """Return the profile of a folder. Raises InputProblem that names those there are, the nearest first.

    ``gives`` is what a profile of the job names, for people who have none yet.
    """
    found = settings.profiles.get(name or "")
    if found is not None:
        return found
    if not settings.profiles:
        raise InputProblem(
            f"There is no profile {name!r}, nor any other: make {file.key} in the bucket, with `profiles` that name "
            f"{gives}. An example is {file.example}: it is used as it is only where the "
            "environment of the Alma connection is sandbox"
        )
    raise InputProblem(
        f"There is no profile {name!r}: drop the file into the folder of one that there is "
        f"({', '.join(nearest(name or '', settings.profiles))}), or add this one to {file.key} in the bucket"
    )
