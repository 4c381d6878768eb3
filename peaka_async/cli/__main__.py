"""`python -m peaka_async.cli`: the same as `peaka`."""

import sys

from peaka_async.cli import main

sys.exit(main())
