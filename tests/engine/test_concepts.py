from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unclip.checkpoints.load import load
from unclip.engine.concept_file import SHIPPED, Concept, read_concepts
from unclip.engine.concepts import MOST_SQUARES, Concepts, best_threshold
from unclip.errors import RequestError
from unclip.images import from_pil, to_tensor
from unclip.models.clip import Clip
from unclip.pipelines.given import embed
from unclip.pipelines.stages import encode_text
from unclip.system import System

APPLE = Concept("apples", ("apple", "a red apple"), ("a cube", "a table"))
CUBE = Concept("cubes", ("a cube",), ("a blue apple", "a table"), prompt=-2.0, picture=2.0)


@pytest.fixture(scope="module")
def bundled() -> System:
    """The bundled model's CLIP and words, without what draws."""
    return load(stages=[], device="cpu")


def cosines(system: System, embeds: Tensor, sentences: Sequence[str]) -> Tensor:
    text = encode_text(system.clip, system.tokenizer, list(sentences))["text_embed"]
    return F.cosine_similarity(embeds[:, None], text[None], dim=2)


def pictures(*shape: int) -> Tensor:
    return torch.rand(*shape) * 2 - 1


def test_margins_are_cosines_to_the_nearest_sentences(system: System) -> None:
    concepts, images, prompts = Concepts(system, [APPLE, CUBE]), pictures(3, 3, 64, 64), ["a cube", "red"]
    text = encode_text(system.clip, system.tokenizer, prompts)["text_embed"]
    for embeds, margins in (
        (embed(system, images), concepts.image_margins(images)),
        (text, concepts.text_margins(prompts)),
    ):
        expected = [
            cosines(system, embeds, each.sentences).amax(1) - cosines(system, embeds, each.anchors).amax(1)
            for each in (APPLE, CUBE)
        ]
        torch.testing.assert_close(margins, torch.stack(expected, dim=1), atol=1e-5, rtol=0)
        assert not margins.requires_grad


def test_embeddings_of_any_length_give_cosines(karlo_like: System) -> None:
    assert not karlo_like.clip.config.normalize
    silent = replace(karlo_like, card=replace(karlo_like.card, words=()))
    margins = Concepts(silent, [APPLE]).image_margins(pictures(2, 3, 32, 32))
    assert margins.abs().max() <= 2


def test_thresholds_of_prompts_and_pictures_are_apart(system: System) -> None:
    concepts = Concepts(system, [CUBE])
    assert concepts.text("a table") == ("cubes",)  # from -2 on, everything is
    assert concepts.images(pictures(2, 3, 64, 64)) == [(), ()]  # from 2 on, nothing is


def test_a_margin_that_reaches_the_threshold_shows_it(system: System) -> None:
    (margin,) = Concepts(system, [APPLE]).text_margins(["a red cube"])[:, 0].tolist()
    at, above = (replace(APPLE, prompt=threshold) for threshold in (margin, np.nextafter(margin, 3)))
    assert Concepts(system, [at]).text("a red cube") == ("apples",)
    assert Concepts(system, [above]).text("a red cube") == ()


def test_a_verdict_does_not_depend_on_company(system: System) -> None:
    concepts, images = Concepts(system, [APPLE, CUBE]), pictures(5, 3, 64, 64)
    together = concepts.image_margins(images)
    alone = torch.cat([concepts.image_margins(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(64, 160), (160, 64)])
def test_a_long_picture_is_looked_at_from_end_to_end(system: System, shape: tuple[int, int]) -> None:
    concepts, image = Concepts(system, [APPLE]), pictures(2, 3, *shape)
    long = -1 if shape[1] > shape[0] else -2
    squares = [image.narrow(long, start, 64) for start in (0, 48, 96)]
    expected = torch.stack([concepts.image_margins(square) for square in squares]).amax(dim=0)
    torch.testing.assert_close(concepts.image_margins(image), expected, atol=1e-5, rtol=0)


def test_a_very_long_picture_is_looked_at_in_few_squares(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[int]()
    encode = Clip.encode_image
    monkeypatch.setattr(Clip, "encode_image", lambda clip, x: seen.append(len(x)) or encode(clip, x))
    Concepts(system, [APPLE]).given(Image.new("RGB", (5000, 1)))
    assert seen == [MOST_SQUARES]


@pytest.mark.parametrize("size", [(64, 64), (200, 130), (1, 1), (40, 90)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_given_pictures_of_every_size_and_mode_are_seen(
    system: System, size: tuple[int, int], mode: str
) -> None:
    everything = replace(APPLE, picture=-2.0)
    assert Concepts(system, [everything]).given(Image.new(mode, size)) == ("apples",)


def test_a_given_picture_is_seen_as_it_is(system: System) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (margin,) = Concepts(system, [APPLE]).image_margins(to_tensor(pixels[None]))[:, 0].tolist()
    at = Concepts(system, [replace(APPLE, picture=margin - 1e-6)])
    above = Concepts(system, [replace(APPLE, picture=margin + 1e-6)])
    assert at.given(Image.fromarray(pixels)) == ("apples",)
    assert above.given(Image.fromarray(pixels)) == ()


def test_transparent_parts_lie_over_white(bundled: System) -> None:
    night = Image.new("RGBA", (64, 64), (0, 0, 30, 0))
    concepts = Concepts(bundled, read_concepts(SHIPPED))
    assert concepts.given(night) == concepts.given(Image.new("RGB", (64, 64), "white"))


def test_a_model_without_an_image_tower_says_so(system: System) -> None:
    blind = replace(system, clip=Clip(replace(system.clip.config, image_size=0)))
    with pytest.raises(RequestError, match="'apples' cannot be looked for: tiny has no image tower"):
        Concepts(blind, [APPLE])


def test_a_word_that_the_model_never_saw_is_refused(system: System) -> None:
    with pytest.raises(RequestError, match="'x' cannot be looked for: tiny has never seen sword, blood"):
        Concepts(system, [Concept("x", ("a sword on a table",), ("blood",))])


def test_a_model_that_lists_no_words_is_believed_to_know_them(system: System) -> None:
    silent = replace(system, card=replace(system.card, words=()))
    assert Concepts(silent, [Concept("x", ("a sword",), ("blood",), prompt=-2.0)]).text("a") == ("x",)


def test_thresholds_of_another_model_are_refused(system: System) -> None:
    assert Concepts(system, [replace(APPLE, model="tiny")])
    with pytest.raises(RequestError, match="thresholds of unclip bundled, not of tiny"):
        Concepts(system, [replace(APPLE, model="unclip bundled")])


def test_a_file_is_read_for_a_model(bundled: System, tmp_path: Path) -> None:
    path = tmp_path / "concepts.toml"
    path.write_text('shipped = ["night"]', "utf-8")
    concepts = Concepts.of(bundled, path)
    assert concepts.text("a cat at night") == ("night",)
    assert concepts.text("a cat in a meadow") == ()


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("a cat in a forest", ("animals",)),
        ("a cat at night", ("animals", "night")),
        ("a 3D render of an elephant", ("animals",)),
        ("a house in the snow", ("snow",)),
        ("a red car on a beach", ("vehicles",)),
        ("a pear", ("food",)),
        ("a blue chair in a room", ()),
        ("a key on a plain white background", ()),
    ],
)
def test_the_bundled_model_knows_the_shipped_concepts(
    bundled: System, prompt: str, shown: tuple[str, ...]
) -> None:
    assert Concepts.of(bundled, SHIPPED).text(prompt) == shown


def test_no_picture_is_as_dark_as_night(bundled: System) -> None:
    pictures = from_pil([Image.new("RGB", (64, 64), colour) for colour in ("white", "pink", "green")])
    assert not any("night" in names for names in Concepts.of(bundled, SHIPPED).images(pictures))


def test_the_best_threshold_has_the_highest_f1() -> None:
    margins = torch.randn(200)
    shown = margins + torch.randn(200) > 0.5

    def f1(threshold: float) -> float:
        found = margins >= threshold
        return (2 * (found & shown).sum() / (found.sum() + shown.sum())).item()

    best = best_threshold(margins, shown)
    assert f1(best) == max(f1(margin) for margin in margins.tolist())
    assert best not in margins.tolist()


def test_what_can_be_parted_is_parted_in_the_middle() -> None:
    assert best_threshold(torch.tensor([0.1, 0.8, 0.2, 0.6]), torch.tensor([False, True, False, True])) == (
        pytest.approx(0.4)
    )
    assert best_threshold(torch.tensor([0.1]), torch.tensor([True])) == pytest.approx(0.1)
