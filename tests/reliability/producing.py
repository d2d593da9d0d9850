"""`python -m tests.reliability.producing FILE --lake … --conf …`: a producer, who appends the records of a file and says what came of it.

A line on standard error for each append: `acknowledged`, or the code of the error; then it is tried again, by the same handle.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from pipelines.errors import HindsightError
from pipelines.producer import open_log

PAUSE = 0.05
"""Seconds between two appends."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--lake", type=Path)
    parser.add_argument("--conf", type=Path)
    asked = parser.parse_args()
    with closing(open_log(asked.lake, asked.conf)) as log:
        for line in asked.file.read_text().splitlines():
            payloads, received = zip(*json.loads(line), strict=True)
            while True:
                try:
                    log.append([bytes.fromhex(payload) for payload in payloads], [datetime.fromisoformat(at) for at in received])
                except HindsightError as error:
                    print(error.code, file=sys.stderr, flush=True)
                    time.sleep(4 * PAUSE)
                else:
                    print("acknowledged", file=sys.stderr, flush=True)
                    break
            time.sleep(PAUSE)


if __name__ == "__main__":
    main()
