"""Which browser the tests take."""

from pathlib import Path

import pytest

from tests.browser.conftest import BROWSERS, browser_program

pytestmark = pytest.mark.quick


def test_the_browser_that_is_named_is_taken_else_the_first_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser_program(None) is None
    for name in BROWSERS[1:3]:
        (tmp_path / name).touch(0o755)
    assert browser_program(None) == str(tmp_path / BROWSERS[1])
    assert browser_program(BROWSERS[2]) == str(tmp_path / BROWSERS[2])
    assert browser_program("no-such-browser") is None
