"""`python -m liqshell` is the `liqcore` command."""

import sys

from liqshell.cli import main

if __name__ == "__main__":
    sys.exit(main())
