"""What training does to the tiny preset: losses that fall, along curves that are stored.

A change that is meant to alter no result must leave the curves as they are. Another writes them anew:
`python tests/training/draw_curves.py`.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from unclip.diffusion.noise import generator
from unclip.training.batches import Steps
from unclip.training.begin import Order, begin
from unclip.training.loop import Examples

Make = Callable[..., Order]
CURVES = Path(__file__).with_name("curves")
COMPONENTS = ["clip", "prior", "prior_ar", "decoder", "upsampler256"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_losses_are_those_stored(
    order: Make, curve: Callable[[Order], list[float]], component: str
) -> None:
    stored = json.loads((CURVES / f"{component}.json").read_text())
    assert curve(order(component, images=40, batch_size=4, log_steps=1)) == pytest.approx(stored, rel=1e-4)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_fixed_batch_is_learnt(order: Make, component: str) -> None:
    trainer = begin(order(component))
    task, network = trainer.task, trainer.network.train()
    steps = Steps(Examples(task, trainer.pictures, 64), 8)
    task.prepare(network, steps)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = list[float]()
    for _ in range(30):
        loss = task.loss(network, steps[0], generator(torch.device("cpu"), "the same"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0], losses
