"""Records of one file that may be one title: those that share a number, or are linked by others that do."""

from collections.abc import Callable, Iterable, Sequence

from alma_etl.jobs.outcomes import Row

STRONG = "oclc:"
"""How names of numbers begin that two records have only if they are of one title."""


def firsts(rows: Sequence[Row], names: Callable[[Row], Iterable[str]]) -> dict[int, Row]:
    """Return, by line, the first of the records that a record is linked with, perhaps itself. ``names``: what links two
    records that share one; links go on from record to record."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (parent := parents.setdefault(name, name)) != name:
            parents[name] = name = parents[parent]
        return name

    roots: dict[int, str] = {}
    for row in rows:
        first, *others = [f"line:{row['line']}", *names(row)]
        for name in others:
            parents[root(name)] = root(first)
        roots[row["line"]] = first
    found: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: int(row["line"])):
        found.setdefault(root(roots[row["line"]]), row)
    return {line: found[root(name)] for line, name in roots.items()}
