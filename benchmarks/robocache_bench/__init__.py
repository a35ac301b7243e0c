"""RoboCache beside what a user would pick instead: measured in one run, on fresh inputs, and reported from one JSON."""
