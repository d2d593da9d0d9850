"""The command `hindsight`, also as `python -m pipelines`. What is imported takes a second: Ctrl-C has its answer by then too."""

import logging
import sys


def main() -> int:
    """Run a command; its exit code."""
    # a library that logs where nobody listens, as py4j does of Ctrl-C, would print a traceback
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        from pipelines import cli

        return cli.main()
    except KeyboardInterrupt:
        print("hindsight: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
