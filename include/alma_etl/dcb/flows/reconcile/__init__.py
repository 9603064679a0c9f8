"""The nightly comparison of three books: ours, Alma's, and that of dcb-service or mod-dcb.

`compare` makes the checks and mends what may be mended without a person; `report` writes tables and a page;
`check_outcome` has the last word. Polling goes by what should happen; this looks for what should not.
"""
