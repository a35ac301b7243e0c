"""`python -m robocache_bench`."""

from robocache_bench.cli import main

raise SystemExit(main())
