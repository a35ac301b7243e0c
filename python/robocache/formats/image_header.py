"""What the first bytes of an encoded image say: its format and its size. Nothing is decoded."""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; a palette is of RGB
_JPEG = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
# Start of frame; C4, C8 and CC are tables and extensions.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_size(data: bytes) -> tuple[int, int, int]:
    """Height, width and channels of a PNG or JPEG.

    Raises
    ------
    ValueError
        It is neither, or cut off.
    """
    if data.startswith(_PNG):
        return _png_size(data)
    if data.startswith(_JPEG):
        return _jpeg_size(data)
    raise ValueError(f"is neither PNG nor JPEG, it begins with {data[:4].hex(' ') or 'nothing'}")


def _png_size(data: bytes) -> tuple[int, int, int]:
    if data.find(_PNG_END, len(_PNG) + 25) < 0:
        raise ValueError("is a PNG that is cut off")
    width, height, _, colour = struct.unpack_from(">IIBB", data, len(_PNG) + 8)
    return height, width, _PNG_CHANNELS.get(colour, 0)


def _jpeg_size(data: bytes) -> tuple[int, int, int]:
    at = len(_JPEG)
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _JPEG_FRAMES:
            # Within the image FF is never followed by D9. What cameras put behind its end is not ours.
            if data.find(_JPEG_END, at) < 0:
                break
            height, width, channels = struct.unpack_from(">HHB", data, at + 5)
            return height, width, channels
        # A marker may be preceded by any number of FF.
        at += 1 if marker == 0xFF else 2 + length
    raise ValueError("is a JPEG that is cut off")
