"""What the codes in a delivery's reasons mean, in words for the report."""

_ERRORS = {  # the record stays out
    "LDR06": "the leader is not that of a holdings record (position 06 must be u, v, x or y)",
    "001": "there is no 001, the record's own number",
    "DUP001": "this holding is in the file already, under another title",
    "004": "there is no 004, the number of the bib",
    "008LEN": "there must be one 008 of exactly 32 characters",
    "852": "there is no 852, the location",
    "852b": "852 has no $b, the library",
    "852a": "852 has no $a, since no OCLC symbol is set for the library",
    "583": "there is no 583, so nothing is committed",
    "583RETAIN": "no 583 $a says committed to retain",
    "583EXPIRED": "the commitment has ended (583 $d)",
    "583c": "583 $c, the begin of the commitment, is missing or not a date written YYYYMMDD",
    "583d": "583 $d, the end of the commitment, is missing or not a date written YYYYMMDD",
    "583ORDER": "the commitment ends (583 $d) before it begins (583 $c)",
    "583f": "583 $f, the programme, is missing or is another one (programme_names in config/west.yaml lists its names)",
    "STMT": "there is no statement of what is held (866, 867 or 868 $a, or 863 to 865)",
    "OCN": "the bib has no OCLC number (035 $a with (OCoLC))",
    "FIELDLONG": "a field is longer than the 9,999 bytes that MARC21 can hold",
    "TOOLONG": "the record is longer than the 99,999 bytes that MARC21 can hold",
    "ROUNDTRIP": "the record would not read back as it was written",
}
_WARNINGS = {  # the record is delivered, where nothing else keeps it out
    "001SHAPE": "the holding id does not look like one of this institution",
    "NOBIB": "Alma gave no bib record for the title",
    "BIBFIELD": "a 022 or 035 of the bib cannot be read and was left out",
    "583RENEW": "583 has several $d: the latest counts as the end of the commitment",
    "583CASE": "583 $a should be exactly: committed to retain",
    "5832": "583 $2 should be pda",
    "5835": "583 $5, the library's own code, is missing or is another one",
    "583IND": "the first indicator of 583 should be blank, 0 or 1",
    "022": "the bib has no ISSN (022 $a), by which the archive matches first",
    "ISSNCHK": "an ISSN (022 $a) has a wrong check digit or form",
}
MEANING_OF_CODE = _ERRORS | _WARNINGS
WARNINGS = frozenset(_WARNINGS)
