import re
from pathlib import Path

import pytest

from unclip.errors import DataError
from unclip.world import load_photographs


def test_captions_have_several_wordings_and_stay_what_they_are(sample: Path) -> None:
    captions = list(load_photographs(sample, 0).captions())
    assert any(caption.startswith("a photograph of ") for caption in captions)
    assert any(caption.startswith("a watercolour painting of ") for caption in captions)
    assert all(re.match("a (photo|botanical|watercolour)", caption) for caption in captions)


def test_produce_in_a_shop_is_in_the_plural(sample: Path) -> None:
    shops = [caption for caption in load_photographs(sample, 0).captions() if caption.endswith(" in a shop")]
    assert shops
    assert all(
        re.search(r"(s|asparagus|cabbage|garlic|ginger|zucchini) in a shop$", caption) for caption in shops
    )


def test_a_folder_without_photographs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photographs; give a folder with one of tf-flowers"):
        load_photographs(tmp_path, 0)
