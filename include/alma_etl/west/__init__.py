"""WEST holdings: from a set of titles in Alma to the MARC21 file that the shared print archive takes.

The four steps of the procedure are the modules `extract`, `listing`, `fetching` and `converting`; then come
`assembly` (one file per OCLC symbol, and the gates), `delivery` and `report`.
"""
