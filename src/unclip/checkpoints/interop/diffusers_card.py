"""The page of a model that was written for diffusers: its licence and training data, and how to load it."""

from collections.abc import Mapping

from unclip.system import System

_PAGE = """\
---
license: {licence_id}
library_name: diffusers
pipeline_tag: {task}
---
# {name}

Licence: {licence}

Trained on:

{training_data}

Written by unclip, whose `unclip generate --model FOLDER` reads it back. With diffusers 0.38 or newer:

```python
import diffusers
import transformers
from diffusers.pipelines.deprecated.unclip import {pipeline}
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

classes = {{
{classes}
}}
parts = {{name: part.from_pretrained("FOLDER", subfolder=name) for name, part in classes.items()}}
image = {pipeline}(**parts)(
    {given},
{settings}
).images[0]
```

Older ones load it by `diffusers.DiffusionPipeline.from_pretrained("FOLDER")`.
"""


def page(system: System, pipeline: str, parts: Mapping[str, tuple[str, str]]) -> str:
    """Return README.md of a pipeline with these components, each with its library and class."""
    card = system.card
    lines = [f'    "{name}": {_kind(*where)},' for name, where in parts.items()]
    return _PAGE.format(
        # The Hub's names of licences: lower case, and no spaces.
        licence_id="-".join(card.licence.lower().split()),
        task="text-to-image" if system.prior else "image-to-image",
        name=card.name,
        licence=card.licence,
        training_data="\n".join(f"- {line}" for line in card.training_data),
        pipeline=pipeline,
        classes="\n".join(lines),
        given='"a sentence"' if system.prior else "PIL_IMAGE",
        settings="\n".join(f"    {name}={value:g}," for name, value in _settings(system).items()),
    )


def _kind(library: str, name: str) -> str:
    return name if library == "unclip" else f"{library}.{name}"


def _settings(system: System) -> dict[str, float]:
    """Return the model's own steps and guidance, by the names of the pipelines' arguments."""
    found = dict[str, float]()
    named = {"prior": system.prior, "decoder": system.decoder, "super_res": system.upsamplers[0]}
    for name, stage in named.items():
        if stage is not None:
            found[f"{name}_num_inference_steps"] = float(
                max(stage.defaults.num_steps, 2)
            )  # by one less it divides
            if name != "super_res":
                found[f"{name}_guidance_scale"] = float(stage.defaults.guidance_scale)
    return found
