"""Counted nouns, for every sentence that a person reads: `1 record`, `2,500 records`."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """The number with its noun. The last word of the noun takes an s, unless ``plural`` says otherwise."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
