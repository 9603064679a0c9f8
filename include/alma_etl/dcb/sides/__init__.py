"""The library systems of a request: an Alma or a FOLIO at each side, read and acted on."""
