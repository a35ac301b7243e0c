"""Who is measured beside RoboCache in voxelization: see `robocache_bench.peers`."""
