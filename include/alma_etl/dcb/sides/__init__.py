"""Deeds in Alma: each looks whether it is done already, does it, and verifies; done twice it is done once.

A building block returns what is now there. It raises `Impossible` when it will not come about however often it is
tried, and `Unsettled` when nobody knows, or not now. What ends the run (`RemoteStop`) is raised as it is.
"""
