"""How HTTP requests are sent that mean something: to where they are addressed, or not at all."""

from __future__ import annotations

import urllib.request
from typing import Any


class _NotElsewhere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Nothing: what is sent on is a GET without a body, with the secret in its headers, and would be taken for told."""


OPENER = urllib.request.build_opener(_NotElsewhere)
"""Opens a request; a redirection is an HTTPError like any other refusal."""
