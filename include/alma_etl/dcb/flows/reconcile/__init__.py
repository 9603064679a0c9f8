"""The nightly comparison of three books: ours, Alma's, and that of dcb-service or mod-dcb.

`compare` makes the checks and fixes what may be fixed without a person; `report` writes tables and a page;
`check_outcome` is the final check. Polling goes by what should happen; this looks for what should not.
"""
