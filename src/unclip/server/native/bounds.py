"""How large a job may be: what one request makes of memory and time, before anything is drawn."""

from collections.abc import Mapping

from unclip.engine.messages import About
from unclip.records.pictures import Picture
from unclip.server.errors import ApiError, bad_request
from unclip.server.native.asked import Asked, Edit, Outpaint

MOST_SIDE = 4096  # pixels
MOST_DRAWN = 4096**2  # pixels of all of a job's pictures together
MOST_GIVEN = 2 * 4096**2  # pixels of all pictures that it is given
MOST_SQUARES = 16  # of the picture's shorter side, by which a whole is painted piece by piece

Shape = tuple[int, int]
"""Width and height in pixels."""


def check_bounds(asked: Asked, about: About, pictures: Mapping[str, Picture]) -> None:
    """Raise ApiError for a job that the model cannot do, or that is too large. Pictures go by their ids."""
    if asked.task not in about.tasks:
        raise bad_request(f"The model {about.name!r} cannot do this: it has no {asked.task}.", param="task")
    size: int | None = getattr(asked, "size", None)
    if size is not None and size not in about.sizes:
        known = ", ".join(map(str, about.sizes))
        raise bad_request(
            f"Invalid size: this model's sizes are {known}, not {size}.", "invalid_size", "size"
        )
    if sum(picture.width * picture.height for picture in pictures.values()) > MOST_GIVEN:
        raise _too_large(f"The pictures that are given have more than {MOST_GIVEN} pixels together.")
    if isinstance(asked, Edit | Outpaint):
        width, height = _painted(asked, pictures[asked.image])
    else:
        width = height = size or default_size(about)
    if asked.count * width * height > MOST_DRAWN:
        shape = f"{asked.count} of {width} x {height} pixels"
        raise _too_large(f"Too many pixels for one job: {shape}, of {MOST_DRAWN} together at most.")


def default_size(about: About) -> int:
    """Return the side of a picture when none is asked for: the largest up to 256 pixels, if there is one."""
    return max((size for size in about.sizes if size <= 256), default=min(about.sizes, default=0))


def _painted(asked: Edit | Outpaint, picture: Picture) -> Shape:
    width, height = whole = whole_of(asked, picture)
    if max(whole) > MOST_SIDE:
        raise _too_large(f"The whole would be {width} x {height} pixels: at most {MOST_SIDE} a side.")
    side = min(resized(asked, picture))
    if width * height > MOST_SQUARES * side**2:
        raise _too_large(
            f"The whole would be {width} x {height} pixels, and is painted in squares of {side}: at most"
            f" {MOST_SQUARES} times as much as one. Go on in several steps."
        )
    return whole


def resized(asked: Edit | Outpaint, picture: Picture) -> Shape:
    """Return the size of the picture as it is painted."""
    if asked.size is None:
        return picture.width, picture.height
    scale = asked.size / min(picture.width, picture.height)
    return round(picture.width * scale), round(picture.height * scale)


def whole_of(asked: Edit | Outpaint, picture: Picture) -> Shape:
    """Return the size of what is painted, with all that is added."""
    width, height = resized(asked, picture)
    if isinstance(asked, Edit):
        return width, height
    side, xs, ys = min(width, height), [x for x, _ in asked.frames], [y for _, y in asked.frames]
    right = max(width + asked.right, *(x + side for x in xs), width)
    bottom = max(height + asked.bottom, *(y + side for y in ys), height)
    return right - min(-asked.left, *xs, 0), bottom - min(-asked.top, *ys, 0)


def _too_large(message: str) -> ApiError:
    return bad_request(message, "too_large")
