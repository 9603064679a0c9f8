"""What Alma's error codes mean, in words for librarians: as its documentation has them, and no more."""

import pytest

from alma_etl.dcb.sides.ports import describe
from alma_etl.remote.errors import RemoteRefused

TEXT, PATH = "User Jane Doe (jane@example.org) was refused", "POST /users/jane"


def words(code: str) -> str:
    return describe(RemoteRefused(PATH, 400, code, TEXT))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("401852", "does not know the user group"),
        ("401676", "cannot read the user that was sent"),
        ("401854", "needs an external id"),
        ("401857", "account type"),
        ("401864", "type of identifier"),
        ("401664", "a field that was not sent"),
        ("60308", "does not deliver to a personal address"),
        ("60340", "restricted to other libraries"),
        ("60258", "the API key does not allow"),
        ("402212", "the holding could not be made"),
        ("402502", "the scan failed"),
        ("401153", "this desk may not lend"),
    ],
)
def test_a_code_is_said_in_words_with_itself(code: str, says: str) -> None:
    assert says in words(code)
    assert f"[HTTP 400, {code}" in words(code)


def test_a_general_failure_says_no_more_than_alma_does() -> None:
    """402502 is any reason why a scan failed, 402212 any why a holding was not made."""
    assert "no such desk" not in words("402502")
    assert "does not know the library" not in words("402212")
    assert words("401652") == "Alma refuses [HTTP 400, 401652]"


@pytest.mark.parametrize("code", ["401652", "401852", ""])
def test_nobody_is_named(code: str) -> None:
    assert "jane" not in words(code).casefold()
