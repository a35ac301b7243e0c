"""`python -m robocache`."""

from robocache.cli import main

raise SystemExit(main())
