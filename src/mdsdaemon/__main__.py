"""`python -m mdsdaemon`."""

import sys

from mdsdaemon.cli import main

if __name__ == "__main__":
    sys.exit(main())
