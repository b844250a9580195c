from collections.abc import Callable

import pytest

from unclip.provenance.manifest import Manifest, Parent, definition, ingredients

TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
AGENT = {"name": "unclip", "version": "0.1.0"}
PARENTS = (Parent(b"one", "image/png", "first"), Parent(b"two", "image/jpeg", "second"))
Make = Callable[..., Manifest]


def roles(manifest: Manifest) -> list[tuple[str, str, str]]:
    return [
        (one.about["title"], one.about["format"], one.about["relationship"]) for one in ingredients(manifest)
    ]


def test_a_new_picture_is_created_by_a_model(manifest: Make) -> None:
    said = definition(manifest(), "image/png")
    (assertion,) = said["assertions"]
    (action,) = assertion["data"]["actions"]
    assert action.pop("when").endswith("Z")
    assert action == {
        "action": "c2pa.created",
        "softwareAgent": AGENT,
        "digitalSourceType": f"{TYPES}trainedAlgorithmicMedia",
        "parameters": {"unclip.model": "unclip bundled", "unclip.model_hash": "c119e14236976a82"},
    }
    assert (said["title"], said["format"]) == ("picture", "image/png")
    assert said["claim_generator_info"] == [AGENT]


def test_pictures_that_were_looked_at_are_input(manifest: Make) -> None:
    mixed = manifest(parents=PARENTS)
    (action,) = definition(mixed, "image/png")["assertions"][0]["data"]["actions"]
    assert roles(mixed) == [("first", "image/png", "inputTo"), ("second", "image/jpeg", "inputTo")]
    assert action["parameters"]["ingredientIds"] == [one.about["label"] for one in ingredients(mixed)]


def test_an_edited_picture_is_its_first_parent_opened(manifest: Make) -> None:
    edited = manifest(
        action="c2pa.edited", source_type="compositeWithTrainedAlgorithmicMedia", parents=PARENTS
    )
    opened, done = definition(edited, "image/png")["assertions"][0]["data"]["actions"]
    assert [role for *_, role in roles(edited)] == ["parentOf", "inputTo"]
    assert opened["action"] == "c2pa.opened"
    assert opened["parameters"]["ingredientIds"] == [ingredients(edited)[0].about["label"]]
    assert (done["action"], done["digitalSourceType"]) == (
        "c2pa.edited",
        f"{TYPES}compositeWithTrainedAlgorithmicMedia",
    )


def test_an_edited_picture_has_a_parent(manifest: Make) -> None:
    with pytest.raises(AssertionError, match="has a parent"):
        definition(manifest(action="c2pa.edited"), "image/png")


def test_an_agent_may_have_no_version(manifest: Make) -> None:
    assert definition(manifest(agent="unclip"), "image/png")["claim_generator_info"] == [{"name": "unclip"}]


def test_an_unknown_hash_is_left_out(manifest: Make) -> None:
    said = definition(manifest(model_hash=None), "image/png")["assertions"][0]["data"]["actions"][0]
    assert said["parameters"] == {"unclip.model": "unclip bundled"}
