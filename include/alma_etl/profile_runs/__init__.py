"""Import profiles run as Alma jobs: started once, waited for, their counts compared, what they loaded read."""
