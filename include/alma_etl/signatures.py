"""What a file is by its first bytes, where these prove it: a name proves nothing."""

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file (.xls, .doc), or a protected workbook"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"SQLite format 3", "a database"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
)
ZIP = b"PK\x03\x04"  # of an archive, and of a workbook, which is one


def signature(head: bytes) -> str:
    """Return what a file that begins so is, to go into a sentence after "is"; "" when no known bytes begin it.

    A zip archive is not among them: what it is depends on what it holds.
    """
    return next((name for start, name in _SIGNATURES if head.startswith(start)), "")
