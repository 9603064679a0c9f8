"""Addresses of records and jobs in Alma, by the templates of a connection."""

from dataclasses import dataclass
from urllib.parse import quote


def filled(template: str, **ids: str) -> str | None:
    """A template with the ids that it names in braces, such as `{mms_id}`; None where one is "" or not given, or the
    template is no web address."""
    if not template.lower().startswith(("https://", "http://")):
        return None
    url = template
    for name, value in ids.items():
        if f"{{{name}}}" in url:
            if not value:
                return None
            url = url.replace(f"{{{name}}}", quote(str(value), safe=""))
    return url


@dataclass(frozen=True)
class AlmaUrls:
    """The templates of a connection for addresses in Alma; "" for none."""

    record: str = ""
    job: str = ""

    def of_job(self, job_id: str, instance_id: str) -> str:
        """Where people see the run of a job; "" where the connection does not say."""
        return filled(self.job, job_id=job_id, instance_id=instance_id) or ""
