"""Points between points of a sphere, for embeddings and for noise."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

TOLERANCE = 1e-10  # of the angle, in which a mean counts as found
ROUNDS = 100


def slerp(a: Float[Tensor, " *x"], b: Float[Tensor, " *x"], theta: float) -> Float[Tensor, " *x"]:
    """Go the share `theta` of the way from a to b at constant angular speed.

    direction = (sin((1 - theta) w) a + sin(theta w) b) / sin(w), with w the angle between a and b; the length
    is interpolated linearly. For theta beyond [0, 1] the way goes on. Between opposite points there is no one
    way, and rounding chooses. Source: Shoemake 1985.
    """
    u, v = (end.double() / _length(end.double()) for end in (a, b))
    # atan2 keeps its precision where the points are close, and arccos does not.
    angle = 2 * torch.atan2(_length(u - v), _length(u + v))
    if angle < 1e-12:
        direction = u
    else:
        direction = (torch.sin((1 - theta) * angle) * u + torch.sin(theta * angle) * v) / torch.sin(angle)
    length = (1 - theta) * _length(a.double()) + theta * _length(b.double())
    return (length * direction).to(a.dtype)


def spherical_mean(points: Sequence[Float[Tensor, " d"]], weights: Sequence[float]) -> Float[Tensor, " d"]:
    """Return the weighted mean of directions on the sphere, of the weighted mean length.

    It has the least sum of weighted squared angles to the points; of two, it is their `slerp`. Weights count
    in proportion and are not all 0. Source: Buss & Fillmore 2001, algorithm A1.
    """
    shares = torch.tensor(weights, dtype=torch.float64, device=points[0].device)
    shares = shares / shares.sum()
    stacked = torch.stack([point.double() for point in points])
    lengths = stacked.norm(dim=1)
    units = stacked / lengths[:, None]
    mean = shares @ units
    mean = mean / mean.norm()
    for _ in range(ROUNDS):
        step = shares @ _tangents(units, mean)
        angle = step.norm()
        if angle < TOLERANCE:
            break
        mean = angle.cos() * mean + angle.sin() * step / angle
        mean = mean / mean.norm()
    return ((shares @ lengths) * mean).to(points[0].dtype)


def _tangents(units: Float[Tensor, "n d"], at: Float[Tensor, " d"]) -> Float[Tensor, "n d"]:
    """Return the tangents at a point that lead to each unit vector, as long as the angle to it."""
    along = units @ at
    across = units - along[:, None] * at
    sine = across.norm(dim=1)
    angle = torch.atan2(sine, along)
    return across * torch.where(sine > 0, angle / sine.clamp(min=1e-300), 1.0)[:, None]


def _length(x: Float[Tensor, " *x"]) -> Float[Tensor, ""]:
    return x.flatten().norm()
