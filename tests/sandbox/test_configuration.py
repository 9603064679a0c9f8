"""What an Alma's configuration decides: roles by the user's group, the Resource Sharing Library, disabled codes."""

import pytest

from tests.sandbox.caller import Caller
from tests.sandbox.records import DESK, HOLD
from tests.sandbox.test_circulation import Copy

USER = {
    "record_type": {"value": "PUBLIC"},
    "account_type": {"value": "EXTERNAL"},
    "external_id": "DCB-1",
    "primary_id": "DCB-1",
    "last_name": "VPATRON",
    "status": {"value": "ACTIVE"},
}


@pytest.mark.parametrize(("group", "roles"), [("DCB", ["200"]), ("VISITOR", [])])
def test_a_new_user_has_the_patron_role_when_a_rule_gives_it_to_the_group(
    group: str, roles: list[str], alma: Caller
) -> None:
    made = alma.post("/users", {**USER, "user_group": {"value": group}})
    assert [role["role_type"]["value"] for role in made["user_role"]] == roles
    copy = Copy(alma)
    options = alma.get(f"{copy.path}/request-options?user_id=DCB-1").get("request_option") or []
    assert ("HOLD" in [row["type"]["value"] for row in options]) is bool(roles)
    where = f"/users/DCB-1/requests?item_pid={copy.pid}"
    loans = f"/users/DCB-1/loans?item_pid={copy.pid}"
    if roles:
        assert alma.post(where, HOLD)["request_status"] == "IN_PROCESS"
        assert alma.post(loans, DESK)["loan_status"] == "ACTIVE"
    else:
        assert alma.refusal("POST", where, body=HOLD) == (400, "401129")
        assert alma.refusal("POST", loans, body=DESK) == (400, "401151")


def test_no_hold_is_delivered_to_the_resource_sharing_library(alma: Caller) -> None:
    copy = Copy(alma)
    body = {**HOLD, "pickup_location_library": "RES_SHARE"}
    assert alma.refusal("POST", f"/users/patron001/requests?item_pid={copy.pid}", body=body) == (
        400,
        "401129",
    )


def test_a_disabled_reason_cancels_nothing(alma: Caller) -> None:
    made = Copy(alma).hold()
    path = f"/users/patron001/requests/{made['request_id']}"
    assert alma.refusal("DELETE", f"{path}?reason=AdditionalReason02") == (400, "401666")
    assert alma.call("DELETE", f"{path}?reason=AdditionalReason01").status_code == 204
