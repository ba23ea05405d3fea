"""`python -m gradc` is the command `gradc`."""

import sys

from .cli import main

sys.exit(main())
