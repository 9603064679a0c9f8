"""The records of a bibliographic import and their ends."""

from alma_etl.jobs.outcomes import DONE, MADE, OPEN, PARTLY, REFUSED, RowOutcome


class BibOutcome(RowOutcome):
    """The outcomes of a bibliographic import."""

    CREATED = "created", "the title is in Alma now", MADE
    MERGED = "merged", "the title in Alma has the record merged into it", MADE
    OVERLAID = "overlaid", "the title in Alma has the record's fields now, but for local ones", MADE
    WOULD_CREATE = "would_create", "the title would be created; this was a dry run", DONE
    WOULD_MERGE = "would_merge", "the record would be merged into a title; this was a dry run", DONE
    WOULD_OVERLAY = "would_overlay", "the record would overlay a title; this was a dry run", DONE
    UNCHANGED = "unchanged", "the title in Alma has all of it already; nothing was written", DONE
    ALREADY_OWNED = (
        "already_owned",
        "the title has inventory already, and the profile says to search first; nothing was written",
        DONE,
    )
    MULTI_MATCH = (
        "multi_match",
        "several titles in Alma have numbers of the record: merge them in Alma, then drop the record again",
        REFUSED,
    )
    NO_KEY = (
        "no_key",
        "the record has no number to match by, or no title was found by it and the profile creates none",
        REFUSED,
    )
    NOT_ADDED_BRIEF = "not_added_brief", "the title in Alma is fuller than the record", REFUSED
    NOT_ADDED_LOCKED = (
        "not_added_locked",
        "somebody has the title open in Alma's metadata editor: release it there, then drop the record again",
        REFUSED,
    )
    NOT_ADDED_OLD = (
        "not_added_old",
        "the title in Alma was changed after the record was made, by the 005 of both",
        REFUSED,
    )
    DUPLICATE_IN_FILE = (
        "duplicate_in_file",
        "an earlier record of the file has the same number or title, and other content",
        REFUSED,
    )
    DELETE_REQUESTED = (
        "delete_requested",
        "the record asks for a deletion, which this job never does: decide in Alma",
        REFUSED,
    )
    LINKED_CZ = "linked_cz", "the title is the community zone's and is not changed from here", REFUSED
    LINKED_NZ = "linked_nz", "the title is the network zone's: edit it there", REFUSED
    CONFLICT = (
        "conflict",
        "somebody changed the title between reading and writing, or its order was placed before; nothing was written",
        REFUSED,
    )
    NOT_APPLIED = (
        "not_applied",
        "a part of the record is in Alma and the rest is not: look at the fields or items that the message names",
        PARTLY,
    )
    INVALID_RECORD = "invalid_record", "the record cannot be read, or Alma does not take it", REFUSED
    INVALID_ORDER = "invalid_order", "the order data of the record cannot be used", REFUSED
    UNCONFIRMED = (
        "unconfirmed",
        "the record was sent and no answer came: look in Alma whether it is there",
        OPEN,
    )
    FAILED = "failed", "Alma could not be asked, or did not answer as it should", OPEN


KEPT = frozenset((BibOutcome.NOT_ADDED_BRIEF, BibOutcome.NOT_ADDED_OLD))
"""Ends of records whose title is protected: it stays as it is, and has their items and orders all the same."""

COLUMNS = ("record", "key", "title", "mms_id", "outcome", "reasons", "message")

OF_RUN = " record "
"""What stands between a run and the record of its file in the name of a sender."""


def sender_of(run_id: str, record: int) -> str:
    """Return the name under which the state store has what a record of a run sends, or is about to."""
    return f"{run_id}{OF_RUN}{record}"
