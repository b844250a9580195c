"""A visible signature: five small tiles around a picture's bottom right corner. Anybody can crop it away."""

from PIL import Image, ImageDraw

SHARE = 16 / 1024  # of the picture's shorter side, that a tile is wide
# From dark to light, so that some stand out on every ground; places in tiles, counted from the corner.
TILES = {(2, 0): "#3b1c5a", (1, 0): "#8a2f7f", (0, 0): "#d9577a", (0, 1): "#f5a26b", (0, 2): "#fbe3b4"}


def with_signature(image: Image.Image) -> Image.Image:
    """Return a copy of a picture, as RGB or RGBA, with the tiles, each 16 pixels wide at 1024."""
    signed = image.convert("RGBA" if image.has_transparency_data else "RGB")
    side = max(1, round(min(image.size) * SHARE))
    draw = ImageDraw.Draw(signed)
    for (column, row), colour in TILES.items():
        right, bottom = image.width - column * side - 1, image.height - row * side - 1
        draw.rectangle((right - side + 1, bottom - side + 1, right, bottom), fill=colour)
    return signed
