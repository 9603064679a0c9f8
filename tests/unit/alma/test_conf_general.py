"""Which Alma a connection leads to."""

import pytest

from alma_etl.alma.conf import General


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ("PRODUCTION", "01ABC_INST"),
        ("Production", "01ABC_INST"),
        ("", "01ABC_INST"),
        ("SANDBOX", "01ABC_INST SANDBOX"),
        ("Sandbox", "01ABC_INST SANDBOX"),
    ],
)
def test_a_sandbox_is_another_alma_than_its_production(environment: str, key: str) -> None:
    assert General("01ABC_INST", "A library", environment).key == key
