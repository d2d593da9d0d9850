"""The page of a verdict: Great Expectations' Data Docs as one file, which fetches nothing when it is read.

What they draw by scripts from elsewhere (charts of a distribution, buttons that hide rows) is left out; what they fold is open.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import whole
from pipelines.extras import extra

_FETCHED = re.compile(r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|@media[^{]*dark\) \{.*?\n\}", re.DOTALL)
"""Scripts, styles and pictures from elsewhere."""
_HEAD = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 0 1rem 3rem; color: #212529; }
a { color: #0056b3; }
h4, h5, h6, p.m-0 { margin: .4rem 0; font-size: 1rem; }
h5 { font-size: 1.15rem; }
.alert { background: #e9ecef; border-radius: .3rem; padding: .4rem .8rem; margin-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
.table-sm { width: auto; }
th, td { border-top: 1px solid #dee2e6; padding: .4rem .8rem .4rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
.nav { list-style: none; padding: 0; columns: 16rem; }
.badge { background: #6c757d; color: #fff; border-radius: .25rem; padding: .1em .4em; font-size: .85em; }
.text-danger { color: #b02a37; } .text-success { color: #146c43; } .text-warning { color: #8a6100; }
.fas::before { content: "!"; font: bold 1rem system-ui; }
.fa-check-circle::before { content: "\\2713"; } .fa-times::before { content: "\\2717"; }
.navbar.sticky-top, .modal, [data-toggle="buttons"], .ge-walkthrough-modal, a[data-toggle="collapse"], footer { display: none; }
.card:has([data-toggle="buttons"]), #ge-cta-footer, #section-1-content-block-3 { display: none; }
.alert a { color: inherit; text-decoration: none; pointer-events: none; }
</style>
"""


def write(result: Any, folder: Path) -> Path:
    """Write what Great Expectations found into a folder, beside the pages of earlier times, whose names are those times; the file."""
    for one in result.results:
        if "unexpected_percent" not in one.result:  # without which the renderer cannot tell of the count
            for name in ("unexpected_count", "partial_unexpected_list"):
                one.result.pop(name, None)
    document = extra("great_expectations.render.renderer").ValidationResultsPageRenderer().render(result)
    text: str = extra("great_expectations.render.view").DefaultJinjaPageView().render(document)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.html"
    whole.write(file, _FETCHED.sub("", text).replace("<head>", f"<head>\n{_HEAD}", 1))
    return file
