"""What a judge without error sees in a scene."""

from unclip.evaluation.rules import Detection, Sight
from unclip.world import Sprites
from unclip.world.layout import lay_out
from unclip.world.scene import Scene


def sight_of(scene: Scene, sprites: Sprites) -> Sight:
    """Return the things of a scene where it draws them; things in their own colours have the colour ""."""
    placements = [placed for placed in lay_out(scene, sprites) if not placed.from_row]  # drawn a second time
    found = (
        Detection(placed.thing.concept.name, 1.0, placed.bounds, placed.thing.colour or "")
        for placed in placements
    )
    return Sight(tuple(found), scene.style, scene.background)
