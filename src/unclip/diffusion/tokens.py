"""Drawing tokens one by one, in the form of a sampler: ask for the next one's logits, be answered, draw.

`Query.x_t` holds the tokens drawn so far and `Query.t` is their number; `Prediction.x0` are logits.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from unclip.diffusion.process import Prediction
from unclip.diffusion.samplers import Query, Sampling


class Logits:
    """What the output of a network of tokens means, where guides ask a `Process`: it is the logits."""

    def predict(
        self, output: Float[Tensor, "b buckets"], x_t: Int[Tensor, "b n"], t: Int[Tensor, " b"]
    ) -> Prediction:
        """Return the output as it is: guidance moves logits as it moves anything else."""
        return self.completed(output, x_t, t)

    def completed(
        self,
        x0: Float[Tensor, "b buckets"],
        x_t: Int[Tensor, "b n"],
        t: Int[Tensor, " b"],
        variance_mix: Tensor | None = None,
    ) -> Prediction:
        """Return a prediction of these logits; there is no noise to tell from them."""
        del x_t, t
        return Prediction(x0, x0, variance_mix)


def draw_tokens(uniform: Callable[[], Float[Tensor, " b"]], count: int, floor: float = 0.5) -> Sampling:
    """Draw `count` tokens by one number in [0, 1) each, so that a row depends on its own numbers alone.

    The first is drawn from what of its distribution lies above the share `floor`, in [0, 1): of the product
    of image and text embedding, the large ones. Source: Ramesh et al. 2022, section 2.2, and its best floor.
    """
    u = floor + (1 - floor) * uniform().double()  # float32 would round up to 1
    tokens = torch.empty(len(u), 0, dtype=torch.int64, device=u.device)
    for n in range(count):
        prediction = yield Query(tokens, n)
        tokens = torch.cat([tokens, token_at(prediction.x0, u)[:, None]], dim=1)
        u = uniform().double()
    return tokens


def token_at(logits: Float[Tensor, "b buckets"], u: Float[Tensor, " b"]) -> Int64[Tensor, " b"]:
    """Return where the cumulated distribution first exceeds the share `u`, in [0, 1), of the whole."""
    cumulated = logits.double().softmax(dim=-1).cumsum(dim=-1)
    wanted = u.double()[:, None] * cumulated[:, -1:]  # which is 1, but for rounding
    return torch.searchsorted(cumulated, wanted, right=True)[:, 0].clamp(max=logits.shape[1] - 1)
