"""The judge without a network finds the art in true scenes."""

import pytest
import torch

from unclip.evaluation.shown import rendered
from unclip.evaluation.suite import suite
from unclip.evaluation.templates import SHARES, SIDE, best_fit, templates
from unclip.world import Sprites, WorldConfig
from unclip.world.concepts import listed


def test_a_drawing_alone_fits_itself_best(sprites: Sprites) -> None:
    concepts = listed()[:12]
    sizes = templates(sprites, concepts)
    assert [one.pixels.shape[-1] for one in sizes] == [round(share * SIDE) for share in SHARES]
    assert all(torch.allclose(one.weights.sum(dim=(1, 2, 3)), torch.ones(96)) for one in sizes)
    items = [
        item for item in suite(WorldConfig(concepts=12), 12, unseen=False) if "single_object" in item.wanted
    ]
    items = [item for item in items if item.scene.things[0].concept.art]
    shown = rendered(items, sprites, 1, 64, seed=1)
    named = best_fit(torch.cat([shown(index) for index in range(len(items))]), sizes)
    right = [name == item.scene.things[0].concept.name for name, item in zip(named, items, strict=True)]
    assert sum(right) >= 0.8 * len(right)


@pytest.mark.parametrize("shade", [1.0, 0.7])
def test_brightness_does_not_matter(sprites: Sprites, shade: float) -> None:
    sizes = templates(sprites, listed()[:3])
    fox = next(one for one in sizes if one.pixels.shape[-1] == 31)
    picture = torch.zeros(1, 3, SIDE, SIDE)
    picture[:, :, 8:39, 8:39] = torch.where(fox.weights[8] > 0, shade * fox.pixels[8], 0)
    assert best_fit(picture, [fox]) == [fox.concepts[8]]
