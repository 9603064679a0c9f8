"""Item loads: holdings and items in Alma for the rows of a file that somebody dropped.

The steps are functions, one a module: `read_file`, `check_codes`, `resolve_holdings`, `create_items`,
`write_reports`, `file_away`, `check_outcome`.
"""
