"""Erasing subjects: what they contributed is taken back in gold, then their bytes go from log, tables, old versions and state.

`plan.py` finds what is to go, `journal.py` keeps it while it goes, the others each make one part of the lake forget, and
`erase.py` is the order of it all. Each step finds by itself what is left to do, so a crash at any point is mended by
doing the steps again.
"""
