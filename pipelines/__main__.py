"""The command `hindsight`, also as `python -m pipelines`. What is imported takes a second: Ctrl-C has its answer by then too."""

import logging
import sys


def main() -> None:
    """Run a command. Raises SystemExit where its exit code is not 0: what calls this from a wheel, as workspaces do, reads no return."""
    # a library that logs where nobody listens, as py4j does of Ctrl-C, would print a traceback
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        from pipelines import cli

        code = cli.main()
    except KeyboardInterrupt:
        print("hindsight: stopped", file=sys.stderr)
        code = 130
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
