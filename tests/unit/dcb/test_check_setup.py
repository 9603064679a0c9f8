"""What the set-up check finds in two Almas: each thing that can be wrong; what could not be read is unknown."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alma_etl.alma.client import AlmaClient
from alma_etl.dcb import __main__ as dcb_command
from alma_etl.dcb.flows.check_setup.checks import check_setup
from alma_etl.dcb.flows.check_setup.report import check_outcome, results_of, write_report
from alma_etl.dcb.flows.check_setup.trial import Sample, read_samples, samples_of
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import AckName, Role
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore, LegRecord, NewRequest, Report
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.jobs.setup_checks import SetupCheck, SetupFolder, SetupResult
from alma_etl.jobs.setup_report import problems_of
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from tests.unit.dcb.records import SETTINGS
from tests.unit.dcb.sides_world import KEY, NOW, Almas

pytestmark = pytest.mark.heavy
Change = dict[str, Any]
USER = {
    "record_type": {"value": "PUBLIC"},
    "account_type": {"value": "EXTERNAL"},
    "last_name": "VPATRON",
    "status": {"value": "ACTIVE"},
}


def changed(**changes: Any) -> DcbSettings:
    """The settings of the lender alone, changed."""
    lender = SETTINGS.systems["LENDER"].model_copy(
        update={"desks": dict.fromkeys(("SCI", "LAW"), "DEFAULT_CIRC_DESK"), **changes}
    )
    return SETTINGS.model_copy(update={"systems": {"LENDER": lender}})


def user_in(alma: AlmaClient, group: str) -> str:
    """A user who stands for a virtual patron."""
    name = f"DCB-TRIAL-{group}"
    alma.users.create({**USER, "primary_id": name, "external_id": name, "user_group": {"value": group}})
    return name


class Setup:
    """Runs the checks and finds rows."""

    def __init__(self, almas: Almas) -> None:
        self.almas = almas

    def result(self, settings: DcbSettings = SETTINGS, **more: Any) -> SetupResult:
        return check_setup(settings, Systems(settings, self.almas), NOW, **more)

    def row(self, check: str, settings: DcbSettings | None = None, **more: Any) -> SetupCheck:
        """The lender's only row of a check that is not ok, else its first."""
        rows = [each for each in self.result(settings or changed(), **more).checks if each.check == check]
        assert rows, check
        bad = [each for each in rows if each.outcome != "ok"]
        assert len(bad) <= 1, bad
        return bad[0] if bad else rows[0]


@pytest.fixture
def setup(almas: Almas) -> Setup:
    return Setup(almas)


@pytest.mark.quick
def test_the_sandboxes_are_fit_for_requests(setup: Setup) -> None:
    result = setup.result()
    assert result.having("missing") == []
    assert problems_of(result) == []
    assert {each.check for each in result.having("unknown")} == {"patron_role", "trial"}
    # STOR is the sharing library, and owns items as well
    assert {each.check for each in result.having("warning")} == {
        "cancel_reason_words",
        "desks",
        "sharing_library_items",
    }
    for each in result.checks:
        assert (each.outcome == "ok") or (each.where and each.advice), each


@pytest.mark.parametrize(
    ("check", "changes", "outcome", "words"),
    [
        ("desk", {"library": "NONE", "location": None}, "missing", "There is no library NONE; there are LAW, MAIN"),
        ("desk", {"library": "RES_SHARE", "location": None}, "missing", "Resource Sharing Library"),
        ("desk", {"circ_desk": "NO_DESK"}, "missing", "MAIN has no desk NO_DESK; it has DEFAULT_CIRC_DESK"),
        ("desk", {"circ_desk": "RETURNS"}, "warning", "no hold shelf"),
        ("desk", {"desks": {"SCI": "RES_SHARE"}}, "missing", "SCI has no desk RES_SHARE"),
        ("desk", {"desks": {"SCI": "DEFAULT_CIRC_DESK", "XXX": "A"}}, "missing", "There is no library XXX"),
        ("desk", {"desks": {"MAIN": "RETURNS"}}, "warning", "no hold shelf"),
        ("desks", {"desks": {"SCI": "DEFAULT_CIRC_DESK"}}, "warning", "No desk is named for LAW: an item"),
        ("location", {"location": "NOWHERE"}, "missing", "MAIN has no location NOWHERE"),
        ("sharing_library", {"sharing_library": "RES_SHARE"}, "missing", "Resource Sharing Library"),
        ("sharing_library", {"sharing_library": "NONE"}, "missing", "There is no library NONE"),
        ("sharing_library_items", {"sharing_library": "MAIN"}, "warning", "its own items cannot be requested"),
        ("sharing_library_items", {"desks": {"STOR": "DEFAULT_CIRC_DESK"}}, "warning", "also a library that lends"),
        ("alternative_sharing_library", {"alternative_sharing_library": "STOR"}, "missing", "sharing library itself"),
        ("alternative_sharing_library", {"alternative_sharing_library": "SCI"}, "ok", "A desk of it"),
        (
            "sharing_desk",
            {"sharing_library": "MAIN", "sharing_desk": "DEFAULT_CIRC_DESK"},
            "missing",
            "a book scanned there stays on its hold shelf",
        ),
        ("sharing_desk", {"sharing_library": "MAIN", "sharing_desk": "RETURNS"}, "missing", "no hold shelf"),
        ("sharing_desk", {"sharing_library": "MAIN", "sharing_desk": "NONE"}, "missing", "MAIN has no desk NONE"),
        ("sharing_desk", {"sharing_library": "MAIN", "sharing_desk": "RES_SHARE"}, "ok", "with a hold shelf"),
        ("item_policy", {"item_policy": "NONE"}, "missing", "The code table ItemPolicy has no code NONE"),
        ("no_renew_policy", {"no_renew_policy": "NONE"}, "warning", "has no code NONE"),
        ("no_renew_policy", {"no_renew_policy": None}, "warning", "not set"),
        ("user_group", {"user_group": "Resource sharing patron"}, "missing", "UserGroups has no code"),
        ("user_group", {"user_groups": {"FACULTY": "NONE"}}, "missing", "UserGroups has no code NONE"),
        ("material_type", {"material_types": {"BK": "BOOK", "XX": "NONE"}}, "missing", "PhysicalMaterialType"),
        ("cancel_reason", {"cancel_reasons": {"operator": "NONE"}}, "missing", "has no code NONE"),
        ("cancel_reason", {"cancel_reasons": {"not_supplied": "AdditionalReason02"}}, "missing", "disabled"),
        ("cancel_reason_words", {}, "warning", "reason for no_longer_needed, not_supplied, operator"),
        ("lends", {"user_group": None}, "warning", "Not set: user_group"),
        ("borrows", {"location": None, "item_policy": None}, "warning", "Not set: location, item_policy"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_and_what_is_right_is_not(
    check: str, changes: Change, outcome: str, words: str, setup: Setup
) -> None:
    row = setup.row(check, changed(**changes))
    assert (row.outcome, words in row.message) == (outcome, True), row


def test_reasons_that_name_their_causes_are_not_complained_of(setup: Setup) -> None:
    causes = dict.fromkeys(("not_supplied", "no_longer_needed", "operator"), "AdditionalReason01")
    assert setup.result(changed(cancel_reasons=causes)).having("warning") == []


@pytest.mark.parametrize(
    ("path", "checks"),
    [
        ("/conf/libraries$", {"desk", "desks", "location", "sharing_library"}),
        ("/conf/libraries/MAIN/circ-desks/$|circ-desks/.limit", {"desk", "sharing_library"}),
        ("/circ-desks/DEFAULT_CIRC_DESK", {"desk", "sharing_library"}),
        ("/locations", {"location"}),
        ("/code-tables/UserGroups", {"user_group"}),
        ("/code-tables$", {"loan_statuses"}),
        ("/code-tables/PROCESSTYPE", {"process_types"}),
        ("/conf/general", {"institution"}),
        ("/users/operation/test", {"rights_users"}),
    ],
)
@pytest.mark.parametrize(
    "kind",
    ["server_error", *(pytest.param(each, marks=pytest.mark.heavy) for each in ("malformed", "refuse"))],
)
def test_what_could_not_be_read_is_unknown_and_never_missing(
    kind: str, path: str, checks: set[str], setup: Setup
) -> None:
    setup.almas.lender.strike(kind, "GET", path)
    result = setup.result(changed())
    assert result.having("missing") == []
    assert {each.check for each in result.having("unknown")} - {"patron_role", "trial"} == checks


def connected(almas: Almas, key: str, **more: Any) -> Systems:
    """Systems whose lender is opened with another key."""

    class Other:
        def alma(self, conn_id: str) -> AlmaClient:
            if conn_id == "alma_borrower":
                return almas.alma(conn_id)
            return AlmaClient(almas.lender.url, key, limiter=LocalLimiter(100_000), attempts=1, **more)

        def mod_dcb(self, conn_id: str) -> Any:
            raise InputProblem(f"There is no connection {conn_id}")

    return Systems(SETTINGS, Other())


def lender_rows(result: SetupResult) -> dict[str, SetupCheck]:
    return {each.check: each for each in result.checks if each.system == "LENDER"}


def test_a_key_that_may_only_read_is_named_where_we_act_and_enough_where_we_watch(almas: Almas) -> None:
    rows = lender_rows(check_setup(SETTINGS, connected(almas, f"{KEY}-ro"), NOW))
    assert {name: rows[f"rights_{name}"].outcome for name in ("bibs", "users", "conf")} == {
        "bibs": "missing",
        "users": "missing",
        "conf": "ok",
    }
    assert "Bibs (Production, Read/write)" in rows["rights_bibs"].advice
    watching = SETTINGS.model_copy(update={"mode": "observe"})
    rows = lender_rows(check_setup(watching, connected(almas, f"{KEY}-ro"), NOW))
    assert {rows[f"rights_{name}"].outcome for name in ("bibs", "users", "conf")} == {"ok"}


def test_a_key_without_the_configuration_leaves_it_unknown(almas: Almas) -> None:
    rows = lender_rows(check_setup(SETTINGS, connected(almas, f"{KEY}-bibs"), NOW))
    assert (rows["rights_conf"].outcome, rows["rights_users"].outcome) == ("missing", "missing")
    assert {rows[check].outcome for check in ("desk", "location", "user_group", "sharing_library")} == {
        "unknown"
    }


def test_a_read_only_connection_is_said_to_be_one(almas: Almas) -> None:
    rows = lender_rows(check_setup(SETTINGS, connected(almas, KEY, read_only=True), NOW))
    assert "Untick Read-only" in rows["rights_bibs"].advice


def test_a_system_that_cannot_be_reached_keeps_no_other_from_being_checked(setup: Setup) -> None:
    setup.almas.lender.strike("drop", "GET", "", applied=False)
    result = setup.result()
    assert list(result.unread) == ["LENDER"]
    assert result.having("missing") == []
    assert "LENDER could not be read: no usable answer." in problems_of(result)
    assert [each for each in result.checks if each.system == "BORROWER" and each.outcome == "ok"]


def test_a_connection_that_does_not_exist_is_missing(setup: Setup) -> None:
    folio = SETTINGS.systems["LENDER"].model_copy(update={"kind": "mod_dcb", "conn_id": "none"})
    settings = SETTINGS.model_copy(update={"systems": {**SETTINGS.systems, "LENDER": folio}})
    rows = lender_rows(check_setup(settings, connected(setup.almas, KEY), NOW))
    assert rows["connection"].outcome == "missing"


# --- the trial


@pytest.mark.parametrize(
    ("group", "role", "trial"),
    [("DCB", "ok", "ok"), ("VISITOR", "missing", "unknown"), ("STAFF", "unknown", "unknown")],
)
def test_a_trial_tells_whether_a_virtual_patron_may_request(
    group: str, role: str, trial: str, setup: Setup
) -> None:
    book, user_id = setup.almas.book(), user_in(setup.almas.at_lender, group)
    settings = changed(user_groups={"ANY": "VISITOR"})
    samples = read_samples(f"LENDER {book.barcode} {user_id}", settings.systems)
    before = setup.almas.lender.contents()
    assert setup.row("patron_role", settings, samples=samples).outcome == role
    assert setup.row("trial", settings, samples=samples).outcome == trial
    assert setup.almas.lender.contents() == before
    assert user_id not in repr(setup.result(settings, samples=samples))


def test_an_item_that_rules_forbid_is_missing_its_rule(setup: Setup) -> None:
    book, user_id = setup.almas.book(), user_in(setup.almas.at_lender, "DCB")
    sample = {"LENDER": Sample(barcode=book.barcode, user_id=user_id)}
    setup.almas.lender.strike("body", "GET", "/request-options", text=json.dumps({}))
    row = setup.row("trial", samples=sample)
    assert (row.outcome, "Alma offers: nothing" in row.message) == ("missing", True)
    assert "Fulfillment Unit Rules" in row.where


@pytest.mark.parametrize("path", ["/request-options", "/items[?]item_barcode"])
def test_a_trial_that_could_not_be_read_is_unknown(path: str, setup: Setup) -> None:
    book, user_id = setup.almas.book(), user_in(setup.almas.at_lender, "DCB")
    setup.almas.lender.strike("server_error", "GET", path)
    assert (
        setup.row("trial", samples={"LENDER": Sample(barcode=book.barcode, user_id=user_id)}).outcome
        == "unknown"
    )


@pytest.mark.parametrize("lines", ["LENDER", "LENDER 1 2 3", "NOBODY 1 2"])
def test_a_malformed_sample_is_refused(lines: str) -> None:
    with pytest.raises(InputProblem, match="samples, line 1"):
        read_samples(lines, SETTINGS.systems)


def test_without_a_sample_the_request_that_ended_last_is_one(store: DcbStore) -> None:
    assert samples_of(store, SETTINGS) == {}
    for number in (1, 2, 3):
        leg = LegRecord(
            Role.SUPPLIER,
            "LENDER",
            user_id=f"vp-{number}",
            mms_id="1",
            item_pid=str(number),
            request_id=str(number),
        )
        store.add(NewRequest(f"PR-{number}", (leg,), conf={}), NOW)
    for number in (1, 2):  # the third goes on: its own hold would be in the way
        for name, minute in ((AckName.OPERATOR_CLEANUP, 0), (AckName.CLEANED_UP, 1)):
            now = NOW + timedelta(hours=number, minutes=minute)
            store.apply(
                f"PR-{number}", [Report(Ack(name, Moment.at(now)), "MANUAL")], settings=SETTINGS, now=now
            )
    assert samples_of(store, SETTINGS) == {"LENDER": Sample("", "1", "ALL", "2", "vp-2")}


# --- the report


@pytest.fixture
def folder(placing_bucket: Bucket, request: pytest.FixtureRequest) -> SetupFolder:
    return SetupFolder(placing_bucket, request.node.name, "dcb_check_setup")


def test_the_report_names_what_is_missing_and_the_ledger_has_a_record_a_check(
    setup: Setup, folder: SetupFolder
) -> None:
    folder.save(setup.result(changed(location="NOWHERE")))
    keys = write_report(folder, {})
    page = folder.bucket.get(keys["html"]).decode()
    assert "Missing or wrong: LENDER: The location NOWHERE of virtual items." in page
    assert "Configuration &gt; Fulfillment &gt; Locations &gt; Physical Locations" in page
    assert (
        folder.bucket.get(keys["csv"])
        .decode()
        .startswith("system,check,label,outcome,message,where,advice\n")
    )
    with pytest.raises(NotAcceptable, match="The location NOWHERE"):
        check_outcome(folder, {})
    results, found = results_of(folder), folder.find()
    records = list(results.records)
    assert found is not None
    assert len(records) == len(found.checks) == sum(results.counts.values())
    (missing,) = [record for record in records if record.outcome == "missing"]
    assert (missing.symbol, missing.reasons) == ("LENDER", "location")
    assert "Physical Locations" in missing.message


def test_warnings_do_not_make_a_run_red(setup: Setup, folder: SetupFolder) -> None:
    folder.save(setup.result())
    write_report(folder, {})
    assert check_outcome(folder, {}).startswith(
        "Nothing that a placing needs is missing; 4 warnings, 4 checks are"
    )
    with pytest.raises(NotAcceptable, match="The task check is failed"):
        check_outcome(folder, {"check": "failed"})


def test_a_run_that_could_not_check_says_why(folder: SetupFolder) -> None:
    with pytest.raises(InputProblem), folder.keeping_problem():
        raise InputProblem("There is no config/dcb.yaml")
    write_report(folder, {"check": "failed"})
    with pytest.raises(NotAcceptable, match=r"Nothing was checked\. There is no config/dcb\.yaml\."):
        check_outcome(folder, {"check": "failed"})


# --- the command


@pytest.fixture
def written(almas: Almas, tmp_path: Path) -> Callable[[str], list[str]]:
    """Arguments of the command for settings that name the sandboxes."""

    def write(location: str) -> list[str]:
        systems = {
            code: {**each.model_dump(mode="json", exclude_defaults=True), "location": location}
            for code, each in SETTINGS.systems.items()
        }
        config, key = tmp_path / "dcb.yaml", tmp_path / "key"
        config.write_text(json.dumps({"systems": systems, "mode": "drive"}))
        key.write_text(f"{KEY}\n")
        sides = (("alma_default", almas.lender), ("alma_borrower", almas.borrower))
        named = [word for conn_id, side in sides for word in ("--connection", conn_id, side.url, str(key))]
        return ["check-setup", str(config), *named]

    return write


def test_the_command_prints_a_line_a_check(
    written: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dcb_command.main(written("DCB")) == 0
    assert "Nothing that a placing needs is missing" in capsys.readouterr().out
    assert dcb_command.main(written("NOWHERE")) == 1
    out = capsys.readouterr().out
    assert "missing\tLENDER\tThe location NOWHERE of virtual items\t" in out
    assert KEY not in out


def test_the_command_says_which_connection_it_lacks(
    written: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dcb_command.main(written("DCB")[:-4]) == 1
    assert "Give --connection alma_borrower URL KEYFILE" in capsys.readouterr().out
