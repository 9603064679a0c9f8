"""`dcb_check_setup`: reads each system's configuration and says, before the first request, what is missing or wrong.

`checks` runs all of them, `alma_checks` has those of an Alma, `rows` what a check came to, `report` the page.
"""
