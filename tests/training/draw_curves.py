"""Write the loss curves of curves/ anew: `python tests/training/draw_curves.py`."""

import json
import tempfile
from pathlib import Path

import torch

from conftest import be_brief, curve, order, train

torch.set_num_threads(1)
be_brief(setattr)
with tempfile.TemporaryDirectory() as folder:
    clip = Path(folder, "stands-on")
    train(order("clip", clip))
    for component in ("clip", "prior", "prior_ar", "decoder", "upsampler256"):
        stands_on = clip if component in ("prior", "prior_ar", "decoder") else None
        losses = curve(
            order(component, Path(folder, component), stands_on, images=40, batch_size=4, log_steps=1)
        )
        Path(__file__).with_name("curves").joinpath(f"{component}.json").write_text(json.dumps(losses) + "\n")
