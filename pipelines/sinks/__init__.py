"""Metrics where people look: each sink is told of every revision, in its own time; `follow.py` sees to it."""
