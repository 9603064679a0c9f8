"""Records of one file that may be one title: those that share a number, or are linked by others that do; and which of
them decides what becomes of the others."""

from collections.abc import Callable, Iterable, Sequence

from alma_etl.jobs.outcomes import Row

STRONG = "oclc:"
"""How names of numbers begin that two records have only if they are of one title."""
WEAK_NAMES = ("isbn", "issn", "system")
"""How names of numbers begin that records of other publications have, too."""
_COMPARED = 20  # records of one number that a later one is compared with


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


def deciding(
    rows: Sequence[Row],
    names: Callable[[Row], Iterable[str]],
    asked: Callable[[Row], Iterable[str]],
    *,
    decides: Callable[[Row], bool],
    has_title: Callable[[Row], bool],
    agree: Callable[[Row, Row], bool],
) -> dict[int, Row]:
    """Return, by line, the record that decides what becomes of a record; itself where no other does.

    That is the first before it that ``decides`` and has among its ``names`` one that the record is looked up by
    (``asked``). What is refused decides nothing: else the next drop of the file would end otherwise, in which what came
    behind it is in Alma. On one that it is only linked with, by others, a record depends where it has no title in Alma:
    where it has one it is that title, whatever another record says. A weak number links records that ``agree``.
    """
    groups = firsts(rows, lambda row: (name for name in asked(row) if not name.startswith(WEAK_NAMES)))
    by_name: dict[str, list[Row]] = {}
    by_group: dict[int, Row] = {}
    found: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: int(row["line"])):
        before = [
            each
            for name in asked(row)
            for each in by_name.get(name, ())
            if not name.startswith(WEAK_NAMES) or agree(row, each)
        ]
        group = int(groups[row["line"]]["line"])
        if not before and group in by_group and not has_title(row):
            before = [by_group[group]]
        if not before and decides(row):
            for name in names(row):
                if len(by_name.setdefault(name, [])) < _COMPARED:
                    by_name[name].append(row)
            by_group.setdefault(group, row)
        found[row["line"]] = min(before, key=lambda each: int(each["line"]), default=row)
    return found
