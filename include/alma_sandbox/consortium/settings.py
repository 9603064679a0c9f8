"""The settings of a pretend consortium."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ConsortiumSettings(BaseModel):
    """``api_key`` opens mod-dcb; ``client_id`` and ``client_secret`` get a token for dcb-service. None is anybody's."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    api_key: str = "sandbox"
    client_id: str = "sandbox"
    client_secret: str = "sandbox"  # noqa: S105 - not a secret
    token_s: int = Field(default=300, ge=1, description="seconds for which a token is good")
    cancelling: Literal["at_once", "by_event"] = Field(
        default="at_once",
        description="by_event: a lender's CANCELLED answers 200 and changes nothing until FOLIO's own event comes",
    )
    log_size: int = Field(default=100_000, ge=0)
