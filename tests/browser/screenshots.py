"""`python -m tests.browser.screenshots`: runs the browser tests and puts their screenshots into docs/images."""

import os
import sys
from pathlib import Path

import pytest

from tests.browser.conftest import SCREENSHOTS

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 200_000


def main() -> int:
    """The exit code of the tests; 1 when a picture is too large for a README."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    os.environ[SCREENSHOTS] = str(IMAGES)
    code = pytest.main(["-q", str(Path(__file__).parent)])
    for picture in sorted(IMAGES.glob("*.png")):
        size = picture.stat().st_size
        print(f"{size:8} {picture.name}{'  too large' if size > MOST_BYTES else ''}")
        code = code or int(size > MOST_BYTES)
    return code


if __name__ == "__main__":
    sys.exit(main())
