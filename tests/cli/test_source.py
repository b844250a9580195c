"""What the options of the world ask for."""

import pytest

from unclip.cli.source import world_config
from unclip.errors import RequestError
from unclip.world import WorldConfig


def test_the_options_make_the_world() -> None:
    assert world_config(60, "3d,flat,cartoon,blob", 1.0) == WorldConfig()
    assert world_config(8, "flat,3d", 0.5, "3,1") == WorldConfig(
        concepts=8, styles=("3d", "flat"), variation=0.5, objects=(3.0, 1.0, 0.0, 0.0, 0.0)
    )


@pytest.mark.parametrize("styles", ["", "oil", "flat,flat"])
def test_styles_that_are_none_are_refused(styles: str) -> None:
    with pytest.raises(RequestError, match="3d, flat, cartoon, blob"):
        world_config(60, styles, 1.0)


@pytest.mark.parametrize("objects", ["one", "0,0", "1,-1", "1,1,1,1,1,1", "inf", "nan", "1,,2"])
def test_shares_of_objects_that_are_none_are_refused(objects: str) -> None:
    with pytest.raises(RequestError, match="not up to 5 shares"):
        world_config(60, "flat", 1.0, objects)
