"""Pages: values are escaped, and a name that a template does not get is an error."""

import pytest
from jinja2 import UndefinedError

from alma_etl.jobs.pages import render


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError):
        render("west_delivery.html", run_id="x")


def test_the_frame_of_all_pages():
    page = render("page.html").decode()
    assert page.startswith("<!doctype html>")
    assert '<meta charset="utf-8">' in page
    assert "viewport" in page
    assert "http" not in page  # nothing is fetched from anywhere
