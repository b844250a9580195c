import pytest
import torch
import torch.nn.functional as F

from unclip.nn.resblock import ResBlock, Resize


@pytest.mark.parametrize("scale_shift", [True, False])
def test_block_is_the_formula(scale_shift: bool) -> None:
    block = ResBlock(8, 12, 5, groups=4, scale_shift=scale_shift)
    x, embed = torch.randn(2, 8, 6, 6), torch.randn(2, 5)
    h = block.conv_1(F.silu(block.norm_1(x)))
    e = block.embed(F.silu(embed))[..., None, None]
    shifted = block.norm_2(h) * (1 + e[:, :12]) + e[:, 12:] if scale_shift else block.norm_2(h + e)
    torch.testing.assert_close(block(x, embed), block.skip(x) + block.conv_2(F.silu(shifted)))


@pytest.mark.parametrize(("resize", "side"), [(None, 4), ("up", 8), ("down", 2)])
def test_a_block_that_adds_nothing_only_resizes(resize: Resize | None, side: int) -> None:
    block = ResBlock(8, 8, 5, groups=4, scale_shift=True, resize=resize)
    torch.nn.init.zeros_(block.conv_2.weight)
    assert block.conv_2.bias is not None
    torch.nn.init.zeros_(block.conv_2.bias)
    x = torch.randn(1, 8, 4, 4)
    resized = block(x, torch.randn(1, 5))
    assert resized.shape == (1, 8, side, side)
    means = F.adaptive_avg_pool2d(resized, 2)  # nearest and mean both keep the mean of a quarter
    torch.testing.assert_close(means, F.adaptive_avg_pool2d(x, 2))


def test_dropout_ends_with_training() -> None:
    block = ResBlock(8, 8, 5, groups=4, scale_shift=True, dropout=0.5)
    x, embed = torch.randn(1, 8, 4, 4), torch.randn(1, 5)
    assert not torch.equal(block(x, embed), block(x, embed))
    block.eval()
    assert torch.equal(block(x, embed), block(x, embed))
