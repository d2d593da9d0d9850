"""Single records of an import: what a line of history says about when it was received, and a row that is an event already."""

from __future__ import annotations
