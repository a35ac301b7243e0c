"""rc.Loader beside LeRobot's own loader and what people write with torch: samples a second, through a Python loop.

A sample has 10 frames of state up to it and 50 of action from it on, as values and is_pad; a batch has 256, shuffled.
All read the same files. Each is compared with ours, bit by bit and sample by sample, before it is timed.
"""

LEROBOT, DATASET, HAND, COMPILED = "LeRobot", "torch Dataset", "gather by hand", "gather by hand, compiled"
PEERS = (LEROBOT, DATASET, HAND, COMPILED)
