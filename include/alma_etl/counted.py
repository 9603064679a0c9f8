"""Counted nouns, for every sentence that a person reads: `1 record`, `2,500 records`."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """The number with its noun, which takes an s where no ``plural`` is given."""
    return f"{number:,} {verb(number, noun, plural or f'{noun}s')}"


def verb(number: int, one: str, more: str) -> str:
    """The word that goes with the number, such as is or are."""
    return one if number == 1 else more
