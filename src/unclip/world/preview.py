"""Contact sheets: scenes with their captions beneath, to be looked at."""

import textwrap

from PIL import Image, ImageDraw, ImageFont

from unclip.world.world import World

_COLUMNS, _GAP = 8, 6
_LINES, _LINE_HEIGHT, _LETTER = 4, 11, 6  # the caption's room, and its letters in px


def sheet(world: World, count: int, size: int) -> Image.Image:
    """Draw the first `count` scenes at `size` px in rows of eight, each over its caption."""
    cell_w, cell_h = size + _GAP, size + _GAP + _LINES * _LINE_HEIGHT
    rows = -(-count // _COLUMNS)
    page = Image.new("RGB", (_COLUMNS * cell_w, rows * cell_h), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=10)
    for index in range(count):
        example = world.example(index, size)
        x, y = index % _COLUMNS * cell_w, index // _COLUMNS * cell_h
        page.paste(Image.fromarray(example.image), (x, y))
        lines = textwrap.wrap(example.caption, max(size // _LETTER, 8))
        draw.multiline_text((x, y + size), "\n".join(lines[:_LINES]), "black", font, spacing=1)
    return page
