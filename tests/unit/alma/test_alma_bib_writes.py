"""What an import writes: a new bib once, whatever Alma's index knows; a changed one only as it was read."""

import pytest

from alma_etl.alma.bib_writes import (
    INDEX_LAG,
    BibFlags,
    BibOptions,
    change_bib,
    import_bib,
    is_locked,
    is_stale,
)
from alma_etl.alma.bibs import bib
from alma_etl.remote import xml
from alma_etl.remote.answers import first_of
from alma_etl.remote.errors import RemoteRefused, RemoteStop
from alma_etl.remote.safe_write import NOT_AS_SENT, WriteOutcome
from tests.unit.alma.scripted import BASE, HTML, Say, as_xml, refusal

LOST = Say(b"", 500)
MARC = (
    '<record><leader>x</leader><controlfield tag="005">{}</controlfield><datafield tag="245" ind1="0" ind2="0">'
    '<subfield code="a">{}</subfield></datafield></record>'
)
RECORD = MARC.format(1, "New").encode()
PLAIN, VALIDATED = BibOptions(), BibOptions("5001", True, False)


def whole(title="Old", stamp="1", more=""):
    flag = "<suppress_from_publishing>true</suppress_from_publishing>"
    return f"<bib><mms_id>991</mms_id>{flag}{more}{MARC.format(stamp, title)}</bib>"


def calls(alma):
    return [f"{asked.method} {asked.target.removeprefix(BASE)}" for asked in alma.asked]


def is_new(each):
    return b">New<" in (each.record or b"")


@pytest.fixture
def title(alma, client):
    alma.says(as_xml(f"<bibs total_record_count='1'>{whole()}</bibs>"))
    [found] = client.bibs.by_system_number("(OCoLC)1").value
    alma.asked.clear()
    return found


def made(client, options=PLAIN, **given):
    def find():
        return first_of(client.bibs.by_system_number("(OCoLC)1"), lambda each: True)

    return import_bib(client, RECORD, find=find, suppressed=False, options=options, **given)


# --- a new bib


def test_a_new_bib_costs_one_call_and_says_what_alma_is_to_do(alma, client):
    alma.says(
        as_xml(
            whole(
                "New", more="<warnings><warning><message>Field 008 is missing.</message></warning></warnings>"
            )
        )
    )
    written = made(client, VALIDATED, sync_with_oclc="BIBS")
    assert (written.outcome, written.value.warnings) == (WriteOutcome.CREATED, ("Field 008 is missing.",))
    assert calls(alma) == ["POST /bibs?normalization=5001&validate=true&override_warning=false"]
    sent = alma.asked[0].body
    assert b"<suppress_from_publishing>false<" in sent
    assert b"<sync_with_oclc>BIBS<" in sent


def test_warnings_are_no_parameter_of_a_call_that_does_not_validate(alma, client):
    alma.says(as_xml(whole("New")))
    made(client, BibOptions(override_warning=False))
    assert calls(alma) == ["POST /bibs"]


def test_a_new_bib_whose_answer_was_lost_is_found_when_the_index_knows_it(alma, client, pauses):
    alma.says(LOST, as_xml("<bibs/>"), as_xml("<bibs/>"), as_xml(f"<bibs>{whole('New')}</bibs>"))
    written = made(client)
    assert (written.outcome, written.value.mms_id) == (WriteOutcome.ADOPTED, "991")
    assert pauses == list(INDEX_LAG[1:3])


def test_a_new_bib_that_the_index_does_not_know_in_a_minute_is_unconfirmed_and_not_sent_again(
    alma, client, pauses
):
    alma.says(HTML, *[as_xml("<bibs/>")] * len(INDEX_LAG))
    assert made(client).outcome is WriteOutcome.UNCONFIRMED
    assert sum(call.startswith("POST") for call in calls(alma)) == 1
    assert sum(pauses) == 60


def test_a_refused_one_is_refused_and_nothing_is_looked_for(alma, client):
    alma.says(refusal("4022032", "The record failed validation: 245"))
    assert made(client, VALIDATED).error.code == "4022032"
    assert len(alma.asked) == 1


def test_what_is_checked_right_before_ends_it_unsent(alma, client):
    def before():
        raise RemoteStop("x", None, "", "the lock is lost")

    with pytest.raises(RemoteStop):
        made(client, before=before)
    assert alma.asked == []


# --- a changed bib


def changed(client, title, options=PLAIN):
    return change_bib(client, title, RECORD, as_wanted=is_new, options=options)


def test_a_changed_bib_costs_one_call_and_keeps_what_is_beside_its_record(alma, client, title):
    alma.says(as_xml(whole("New", "2")))
    assert changed(client, title, VALIDATED).outcome is WriteOutcome.UPDATED
    [call] = calls(alma)
    assert call == (
        "PUT /bibs/991?stale_version_check=true&override_lock=false&normalization=5001&validate=true"
        "&override_warning=false"
    )
    sent = alma.asked[0].body
    assert b"<suppress_from_publishing>true<" in sent
    assert b">New<" in sent
    assert b">Old<" not in sent


def test_an_answer_without_the_change_is_not_taken_for_done(alma, client, title):
    alma.says(as_xml(whole("Old", "2")))
    written = changed(client, title)
    assert (written.outcome, written.error.code, written.value.mms_id) == (
        WriteOutcome.REFUSED,
        NOT_AS_SENT,
        "991",
    )


def test_a_lost_change_that_was_made_is_found(alma, client, title):
    alma.says(LOST, as_xml(whole("New", "2")))
    assert changed(client, title).outcome is WriteOutcome.ADOPTED
    assert calls(alma)[1] == "GET /bibs/991?view=full"


def test_a_lost_change_that_was_not_made_is_sent_again(alma, client, title):
    alma.says(LOST, as_xml(whole()), as_xml(whole("New", "2")))
    assert changed(client, title).outcome is WriteOutcome.UPDATED
    assert [call[:4] for call in calls(alma)] == ["PUT ", "GET ", "PUT "]


def test_what_somebody_saved_since_is_not_written_over(alma, client, title):
    alma.says(refusal("4022034", "A newer version of this record exists"))
    written = changed(client, title)
    assert written.outcome is WriteOutcome.REFUSED
    assert is_stale(written.error)


def test_nor_is_it_after_a_lost_answer(alma, client, title):
    alma.says(LOST, as_xml(whole("Theirs", "2")))
    written = changed(client, title)
    assert written.outcome is WriteOutcome.REFUSED
    assert is_stale(written.error)
    assert [call[:4] for call in calls(alma)] == ["PUT ", "GET "]


def test_a_bib_that_was_not_read_as_a_whole_is_not_changed(client):
    with pytest.raises(ValueError, match="as a whole"):
        changed(client, bib(xml.parse(whole().encode())))


@pytest.mark.parametrize(
    ("code", "text", "locked"),
    [
        ("401652", "The record 991 is locked by another user.", True),
        ("999999", "Lock on record held by ann since 10:12", True),
        ("401652", "General Error: no lock could be thought of", True),
        ("401652", "General Error", False),
        ("401652", "The clock is wrong, it blocks", False),
        ("402203", "Input parameters locked is not valid.", False),
        ("4022034", "A newer version exists, the lock is gone", False),
    ],
)
def test_a_lock_is_recognised_in_one_place(code, text, locked):
    assert is_locked(RemoteRefused("PUT /bibs/991", 400, code, text)) is locked


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        (BibFlags(suppressed_externally=False), []),
        (BibFlags(suppressed_externally=True), ["suppress_from_external_search"]),
        (BibFlags(sync_with_oclc="NONE"), ["sync_with_oclc"]),
    ],
)
def test_a_title_without_the_flag_is_not_suppressed_from_external_search(flags, missing):
    assert flags.missing(b"<bib><mms_id>991</mms_id></bib>") == missing
