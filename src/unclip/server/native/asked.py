"""What a native job may ask for: the fields of each task's request, with bounds for a server that is shared.

Pictures go by the id of an image of the caller's.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from unclip.server.contract import MOST_PROMPT, NO_NUL, Prompt, Text, validated
from unclip.server.errors import bad_request

MOST_OFFSET = 4096  # pixels that anything lies beyond the edges of a picture

Count = Annotated[int, Field(ge=1, le=10, description="How many pictures.")]
Seed = Annotated[
    int | None, Field(ge=0, le=2**63 - 33, description="Picture k is drawn from seed + k; null: from any.")
]
Size = Annotated[int | None, Field(ge=1, description="Pixels a side: one of the model's sizes.")]
Steps = Annotated[int | None, Field(ge=1, le=1000)]
Scale = Annotated[float | None, Field(ge=0, le=100, description="Of guidance; 1 is off.")]
Share = Annotated[float, Field(ge=0, le=1)]
Sampler = Annotated[str, Field(min_length=1, max_length=40, pattern=NO_NUL)]
Sentence = Annotated[str, Field(max_length=MOST_PROMPT, pattern=NO_NUL)]
Pixels = Annotated[int, Field(ge=0, le=MOST_OFFSET)]
Place = Annotated[
    list[Annotated[int, Field(ge=-MOST_OFFSET, le=MOST_OFFSET)]], Field(min_length=2, max_length=2)
]
Rng = Literal["unclip", "diffusers"]
PictureId = Annotated[str, Field(max_length=64, pattern=NO_NUL, description="The id of one of your images.")]
_ID = re.compile(r"img_[0-9a-z]{26}")


class GivenPicture(BaseModel, extra="forbid", strict=True):
    """One of the caller's images, where a sentence could stand as well."""

    picture: PictureId


def _kind_of(part: Any) -> str:
    return "picture" if isinstance(part, dict | GivenPicture) else "sentence"


Part = Annotated[
    Annotated[Prompt, Tag("sentence")] | Annotated[GivenPicture, Tag("picture")], Discriminator(_kind_of)
]


class Asked(BaseModel, extra="forbid", strict=True, frozen=True):
    """What all tasks have in common beside their own fields."""

    SENTENCES: ClassVar[tuple[str, ...]] = ("prompt",)  # the fields that hold them

    task: str
    priority: Annotated[int | None, Field(ge=1 - 2**31, le=2**31 - 1)] = Field(
        None, description="The highest is first; no higher than the key's."
    )
    user: Text | None = Field(None, description="Your end user, for the audit trail.")

    def settings(self) -> dict[str, Any]:
        """Return the task's own fields that were set, every picture as {"picture": id}."""
        said = self.model_dump(exclude=set(Asked.model_fields), exclude_defaults=True)
        return {name: _marked(value, name in ("image", "mask")) for name, value in said.items()}

    @property
    def sentences(self) -> Sequence[str]:
        """All that there is to read in it."""
        settings = self.settings()
        values = [settings.get(name) for name in self.SENTENCES]
        listed = [part for value in values for part in (value if isinstance(value, list) else [value])]
        return [part for part in listed if isinstance(part, str) and part]

    @property
    def count(self) -> int:
        """How many pictures it makes."""
        return getattr(self, "n", 1)


def _marked(value: Any, is_picture: bool = False) -> Any:
    """Tell ids of pictures from sentences: nobody means to have an id drawn."""
    if isinstance(value, list):
        return [_marked(part) for part in value]
    return {"picture": value} if isinstance(value, str) and (is_picture or _ID.fullmatch(value)) else value


class TextToImage(Asked, frozen=True):
    """From a sentence to pictures."""

    SENTENCES = ("prompt", "negative")

    task: Literal["text_to_image"]
    prompt: Prompt
    n: Count = 1
    seed: Seed = None
    size: Size = None
    steps: Steps = None
    guidance_scale: Scale = None
    prior_guidance_scale: Scale = None
    sampler: Sampler | None = None
    candidates: Annotated[int | None, Field(ge=1, le=16)] = None
    quality: Literal["draft", "standard", "best"] | None = None
    negative: Sentence | None = None
    guidance_interval: Annotated[
        list[Annotated[int, Field(ge=0, le=100_000)]] | None, Field(min_length=2, max_length=2)
    ] = None
    guidance_rescale: Share | None = None
    dynamic_threshold: Annotated[float | None, Field(gt=0, le=1)] = None
    prior: Literal["diffusion", "ar"] | None = None
    prior_steps: Steps = None
    prior_sampler: Sampler | None = None
    best_of: Annotated[int, Field(ge=1, le=8)] = 1
    upsampler_steps: Steps = None
    rng: Rng = "unclip"


class Variations(Asked, frozen=True):
    """From a picture to others of the same content."""

    SENTENCES = ()

    task: Literal["variations"]
    image: PictureId
    n: Count = 1
    seed: Seed = None
    size: Size = None
    eta: Share = 0.5
    fresh: bool = False
    steps: Steps = None
    guidance_scale: Scale = None
    upsampler_steps: Steps = None
    rng: Rng = "unclip"


class Painted(Asked, frozen=True):
    """What edits and outpainting have in common."""

    image: PictureId
    prompt: Prompt
    n: Count = 1
    seed: Seed = None
    size: Annotated[Size, Field(description="Pixels of the shorter side after resizing.")] = None
    steps: Steps = None
    guidance_scale: Scale = None
    resamplings: Annotated[int, Field(ge=1, le=10)] = 4
    sampler: Sampler = "ddpm"


class Edit(Painted, frozen=True):
    """Painting the holes of a picture anew: where the mask, or the picture itself, has alpha 0."""

    task: Literal["edit"]
    mask: PictureId | None = None


class Outpaint(Painted, frozen=True):
    """Going on beyond a picture's edges."""

    task: Literal["outpaint"]
    left: Pixels = 0
    right: Pixels = 0
    top: Pixels = 0
    bottom: Pixels = 0
    frames: Annotated[list[Place], Field(max_length=32)] = []
    candidates: Annotated[int, Field(ge=1, le=16)] = 1


class TextDiff(Asked, frozen=True):
    """From a picture towards what one sentence has and another has not."""

    SENTENCES = ("target", "source")

    task: Literal["text_diff"]
    image: PictureId
    target: Prompt
    source: Sentence = ""
    theta: Annotated[list[Share], Field(min_length=2, max_length=2)] = [0.0, 0.5]
    steps: Annotated[int, Field(ge=1, le=32, description="How many pictures.")] = 5
    seed: Seed = None
    size: Size = None
    guidance_scale: Annotated[float, Field(ge=0, le=100)] = 1.0
    decoder_steps: Annotated[int, Field(ge=1, le=1000)] = 50

    @property
    def count(self) -> int:
        """How many pictures it makes."""
        return self.steps


class Interpolation(Asked, frozen=True):
    """Pictures along the way from one end to the other, both included."""

    SENTENCES = ("a", "b")

    task: Literal["interpolation"]
    a: Part
    b: Part
    steps: Annotated[int, Field(ge=2, le=32, description="How many pictures.")] = 8
    noise: Literal["inverted", "fixed"] = "inverted"
    seed: Seed = None
    size: Size = None
    guidance_scale: Scale = None
    decoder_steps: Annotated[int, Field(ge=1, le=1000)] = 50

    @property
    def count(self) -> int:
        """How many pictures it makes."""
        return self.steps


class Mix(Asked, frozen=True):
    """Pictures of a weighted mean of several parts."""

    SENTENCES = ("parts",)

    task: Literal["mix"]
    parts: Annotated[list[Part], Field(min_length=1, max_length=16)]
    weights: Annotated[
        list[Annotated[float, Field(ge=0, le=1e6)]] | None, Field(min_length=1, max_length=16)
    ] = None
    n: Count = 1
    seed: Seed = None
    size: Size = None
    guidance_scale: Scale = None
    steps: Steps = None


KINDS: Mapping[str, type[Asked]] = {
    "text_to_image": TextToImage,
    "variations": Variations,
    "edit": Edit,
    "outpaint": Outpaint,
    "text_diff": TextDiff,
    "interpolation": Interpolation,
    "mix": Mix,
}


def read_asked(values: Mapping[str, Any]) -> Asked:
    """Read a job's request. Raises ApiError for the first value that is wrong."""
    if "task" not in values:
        raise bad_request("Missing required parameter: 'task'.", "missing_required_parameter", "task")
    if values["task"] not in list(KINDS):
        known = ", ".join(f"'{name}'" for name in KINDS)
        raise bad_request(
            f"Invalid value for 'task'. Supported values are: {known}.", "invalid_value", "task"
        )
    return validated(KINDS[values["task"]], values)
