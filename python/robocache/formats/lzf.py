"""LZF decompression, which compressed PCD files use: runs of literals, and copies of what came before."""

from __future__ import annotations

# A copy of 264 bytes takes three.
LARGEST_RATIO = 88


def decompress(data: bytes | memoryview) -> bytearray:
    """All that `data` unpacks to, at most `LARGEST_RATIO` times its size.

    Raises
    ------
    ValueError
        The data ends in the middle, or copies from before its beginning; the text says at which of its bytes.
    """
    out = bytearray()
    at, size = 0, len(data)
    try:
        while at < size:
            control = data[at]
            if control < 32:
                out += data[at + 1 : at + control + 2]
                at += control + 2
                continue
            length = control >> 5
            if length == 7:
                at += 1
                length += data[at]
            length += 2
            distance = ((control & 31) << 8) + data[at + 1] + 1
            at += 2
            start = len(out) - distance
            if start < 0:
                raise ValueError(
                    f"copies from {-start} bytes before the beginning, at byte {at - 2} of the packed data"
                )
            if length <= distance:
                out += out[start : start + length]
            else:  # the copy overlaps what it writes: it repeats
                out += (out[start:] * (length // distance + 1))[:length]
    except IndexError:
        at = size + 1
    if at > size:
        raise ValueError(f"ends in the middle, at byte {size} of the packed data")
    return out
