"""Who is measured beside RoboCache in alignment: see `robocache_bench.peers`."""
