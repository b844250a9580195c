"""Moving pictures as GIF, WebP or APNG files, with the request that made them.

Needs no torch, so that the command line starts without it.
"""

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from unclip.errors import RequestError
from unclip.imagefiles import SourceType, labels, to_rgb, write_whole

HELD = 1.0  # seconds for which the last frame is shown longer than the others
TICK = 10  # milliseconds: a GIF counts no shorter times
LEAST = 2  # ticks that a frame is shown; below, browsers take it for no time given

_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}


def is_animation(path: Path) -> bool:
    """Tell whether a file of this name can hold an animation; .webp can hold a still picture, too."""
    return path.suffix.lower() in _FORMATS


def check_animation(path: Path) -> None:
    """Raise `RequestError` for a name by whose suffix `save_animation` cannot save."""
    if not is_animation(path):
        raise RequestError(f"{path}: cannot animate as '{path.suffix}'; use one of {', '.join(_FORMATS)}")


def save_animation(
    frames: Sequence[Image.Image],
    path: Path,
    metadata: Mapping[str, object],
    seconds: float,
    source_type: SourceType = "trainedAlgorithmicMedia",
) -> None:
    """Write frames of one size as a GIF, WebP or APNG, by the suffix of `path`; whole or not at all.

    The frames take `seconds` in all, and the last one is held a second longer; then the first comes again.
    `metadata` is kept as `save` keeps it, in a GIF as a comment; `read_metadata` gives it back.

    Raises `RequestError` for another suffix, a time that is none, and a place that cannot be written.
    """
    check_animation(path)
    if not 0 < seconds < math.inf:
        raise RequestError(f"seconds must be above 0, not {seconds:g}")
    assert frames, "an animation needs at least one frame"
    assert len({frame.size for frame in frames}) == 1, "frames must be of one size"
    pictures, format = [to_rgb(frame) for frame in frames], _FORMATS[path.suffix.lower()]
    if format == "GIF":
        pictures = [_with_palette(picture) for picture in pictures]
    times: dict[str, Any] = {"duration": _durations(len(pictures), seconds), "loop": 0}
    label, file = labels(format, metadata, source_type), BytesIO()
    pictures[0].save(file, format, save_all=True, append_images=pictures[1:], quality=95, **times, **label)
    data = file.getvalue()
    write_whole(path, _with_xmp(data, label["xmp"]) if format == "GIF" else data)


def _durations(count: int, seconds: float) -> list[int]:
    """Return the milliseconds of each frame: whole ticks that add up to `seconds`, the last held longer."""
    ends = [round(1000 * seconds * k / count / TICK) for k in range(count + 1)]
    durations = [TICK * max(end - start, LEAST) for start, end in pairwise(ends)]
    durations[-1] += round(1000 * HELD)
    return durations


def _with_xmp(gif: bytes, packet: bytes) -> bytes:
    """Put an XMP packet behind a GIF's header and palette.

    The packet stands there as it is; readers that do not know it, and take any of its bytes for the length of
    a block, are led to its end by the 258 bytes behind it. Source: Adobe's XMP specification, part 3.
    """
    header = 13 + (3 << (gif[10] & 7) + 1 if gif[10] & 0x80 else 0)
    end = bytes([1, *range(255, -1, -1), 0])
    return gif[:header] + b"!\xff\x0bXMP DataXMP" + packet + end + gif[header:]


def _with_palette(picture: Image.Image) -> Image.Image:
    """Reduce to the picture's own best 256 colours, without dithering, whose grain would flicker."""
    return picture.quantize(256, dither=Image.Dither.NONE)
