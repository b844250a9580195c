"""How near the prior's embeddings come to those of true pictures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unclip.diffusion.driver import finish, run
from unclip.errors import RequestError
from unclip.evaluation.judges.detector import resized
from unclip.evaluation.report import PriorQuality
from unclip.evaluation.shown import Shown
from unclip.evaluation.suite import Item
from unclip.pipelines.stages import encode_text_and_empty, prior, settings
from unclip.system import System

BATCH = 64
CANDIDATES = 1  # a single draw: what the prior knows, not what CLIP picks of it


def prior_quality(system: System, items: Sequence[Item], renders: Shown) -> PriorQuality:
    """Compare one embedding per sentence with two renders of its scene.

    Raises RequestError for a system without a prior.
    """
    embeds = [_embeds(system, renders(index)) for index in range(len(items))]
    one, other = (torch.stack([pair[k] for pair in embeds]) for k in (0, 1))
    guessed = torch.cat([_drawn(system, items, start) for start in range(0, len(items), BATCH)])
    likeness = F.normalize(guessed, dim=-1) @ F.normalize(one, dim=-1).T
    own = likeness.diagonal()
    return PriorQuality(
        cosine=own.mean().item(),
        cosine_other_render=F.cosine_similarity(one, other).mean().item(),
        cosine_other_sentence=F.cosine_similarity(one, one.roll(1, dims=0)).mean().item(),
        rank=(likeness >= own[:, None]).sum(dim=1).float().median().item(),
        of=len(items),
    )


@torch.no_grad()
def _embeds(system: System, images: Float[Tensor, "k 3 h w"]) -> Float[Tensor, "k d"]:
    return system.clip.encode_image(resized(images, system.clip.config.image_size))


def _drawn(system: System, items: Sequence[Item], start: int) -> Float[Tensor, "b d"]:
    if system.prior is None:
        raise RequestError("evaluating a prior needs one: load the model with it")
    part = items[start : start + BATCH]
    text, empty = encode_text_and_empty(system.clip, system.tokenizer, [item.sentence for item in part])
    seeds = range(start, start + len(part))
    plan = prior(system.prior, settings(system.prior), text, empty, seeds, CANDIDATES)
    return system.prior.network.unwhiten(finish(run(plan)))
