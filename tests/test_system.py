from dataclasses import replace

import pytest
import torch

from unclip.errors import RequestError
from unclip.system import System


def test_sizes_are_those_that_the_stages_reach_one_from_another(system: System) -> None:
    assert system.sizes == (64, 256, 1024)
    assert replace(system, upsamplers=()).sizes == (64,)
    assert replace(system, upsamplers=system.upsamplers[:1]).sizes == (64, 256)
    assert replace(system, upsamplers=system.upsamplers[1:]).sizes == (64,)
    assert replace(system, decoder=None).sizes == ()


def test_a_size_out_of_reach_is_refused(system: System) -> None:
    assert system.check_size(256) == 256
    with pytest.raises(RequestError, match="size 256 is not one of 64"):
        replace(system, upsamplers=()).check_size(256)


def test_a_system_is_where_its_networks_are(system: System) -> None:
    assert system.device == torch.device("cpu")
