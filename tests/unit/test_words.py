"""The words of the house: what its documentation, code and pages do not say, since a plainer word is there."""

import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
FOLDERS = ("include", "plugins", "dags", "local", "docs", "benchmarks")
INSTEAD = {
    r"deeds?": "action",
    r"patience": "timeout or retry policy",
    r"tall(?:y|ies)": "counts",
    r"rehears\w*": "dry run",
    r"\w*doorbell\w*": "bucket watcher",
    r"witness\w*": "third-party clients",
    r"last words?": "final check",
    r"anew": "again, restarted",
    r"for good": "permanently",
    r"announce\w*": "record of what was sent",
    r"workbench": "context object",
    r"mend(?:s|ed|ing)?": "fix, correct",
    r"tells?|told": "report, notify, publish, say",
    r"comes? back": "return",
}
# What has to stay: keys in stored rows, in the bucket, in state files of older versions, in the adoption schema.
LEFT = {r"deeds?": 1, r"announce\w*": 5, r"tells?|told": 17}


def texts() -> list[tuple[Path, str]]:
    """Every text of the house that people read, but the tests, which say what they try."""
    found = [HOUSE / "README.md", HOUSE / "Makefile"]
    for folder in FOLDERS:
        for path in sorted((HOUSE / folder).rglob("*")):
            if path.suffix in (".py", ".md", ".html", ".yaml", ".css", ".mako"):
                found.append(path)
    return [(path, path.read_text("utf-8")) for path in found]


@pytest.mark.parametrize("word", INSTEAD)
def test_a_plainer_word_is_used(word):
    pattern = re.compile(rf"(?<![\w']){word}(?!\w)", re.IGNORECASE)
    places = [
        f"{path.relative_to(HOUSE)}:{number}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        for _ in pattern.findall(line.replace("_", " "))
    ]
    assert len(places) <= LEFT.get(word, 0), f"say {INSTEAD[word]!r}: {places}"
