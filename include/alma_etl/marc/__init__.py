"""MARC records: from Alma's MARCXML, to and from ISO 2709, and the numbers written in them."""
