"""The gallery: pictures found, marked, collected and deleted."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sample_records import a_digest, a_job, a_picture
from sqlalchemy import Engine

from unclip.errors import RequestError
from unclip.records.jobs import Jobs
from unclip.records.pictures import Gallery, Picture

PROMPTS = [
    "a red apple on a wooden table",
    "A RED cube on top of a blue cube",
    "ein Bär im GRÜNEN Straßencafé",
    "100% wool_hat",
    None,
]


@pytest.fixture
def gallery(engine: Engine) -> Gallery:
    return Gallery(engine)


def add(gallery: Gallery, **fields: Any) -> Picture:
    picture = a_picture(**fields)
    gallery.add(picture)
    return picture


def test_a_picture_is_kept_as_it_was_given(gallery: Gallery) -> None:
    about = {"prompt": "x", "steps": 12, "scale": 4.5, "hash": None}
    picture = add(gallery, prompt="an owl", seed=2**63 - 1, size=2**33, parent="img_gone", about=about)
    assert gallery.get(picture.id) == gallery.get(picture.id, "alice") == picture
    assert gallery.get(picture.id, "bob") is None
    assert gallery.get("img_none") is None


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("red", [1, 0]),
        ("ReD  cube", [1]),
        ("table red", [0]),
        ("bär grünen", [2]),
        ("BA\u0308R STRASSENCAFÉ", [2]),
        ("100%", [3]),
        ("l_h", [3]),
        ("1_0", []),
        ("%", [3]),
        ("/", []),
        ("\\", []),
        ("", [4, 3, 2, 1, 0]),
        ("red bear", []),
    ],
)
def test_search(gallery: Gallery, search: str, found: list[int]) -> None:
    ids = [add(gallery, prompt=prompt).id for prompt in PROMPTS]
    add(gallery, prompt="a red apple", owner="bob")
    assert [picture.id for picture in gallery.list("alice", search=search)] == [ids[k] for k in found]


def test_conditions_are_met_together(gallery: Gallery, engine: Engine) -> None:
    job = Jobs(engine).add(a_job(n=2)).id
    Jobs(engine).start(job)
    upload = add(gallery)
    made = [a_picture(job=job, index=index, parent=upload.id, prompt="an owl") for index in range(2)]
    Jobs(engine).finish(job, made, {})
    gallery.set_favourite(made[0].id, "alice", True)

    def ids(**conditions: Any) -> list[str]:
        return [picture.id for picture in gallery.list("alice", **conditions)]

    assert ids(uploads=True) == [upload.id]
    assert ids(uploads=False) == ids(parent=upload.id) == [made[1].id, made[0].id]
    assert ids(favourite=True) == [made[0].id]
    assert ids(favourite=False) == [made[1].id, upload.id]
    assert ids(favourite=True, uploads=True) == []
    assert ids(favourite=False, parent=upload.id, search="owl") == [made[1].id]


def test_pages_of_pictures(gallery: Gallery) -> None:
    mine = [add(gallery).id for _ in range(4)]
    theirs = add(gallery, owner="bob").id
    assert [picture.id for picture in gallery.list("alice", limit=3)] == mine[:0:-1]
    assert [picture.id for picture in gallery.list("alice", before=mine[1])] == [mine[0]]
    assert [picture.id for picture in gallery.list(None, limit=1)] == [theirs]


def test_a_mark_is_the_owners_to_set(gallery: Gallery) -> None:
    picture = add(gallery)
    assert not gallery.set_favourite(picture.id, "bob", True)
    assert gallery.get(picture.id) == picture
    assert gallery.set_favourite(picture.id, "alice", True)
    assert [found.favourite for found in gallery.list("alice")] == [True]
    assert gallery.set_favourite(picture.id, "alice", False)
    assert gallery.get(picture.id) == picture


def test_bytes_are_deleted_with_the_last_that_needs_them(gallery: Gallery) -> None:
    digest = a_digest("shared")
    one, other, bobs = (add(gallery, digest=digest, owner=owner) for owner in ("alice", "alice", "bob"))
    assert gallery.delete(one.id, "bob") is None
    assert gallery.delete(one.id, "alice") == ""
    assert gallery.delete(one.id, "alice") is None
    assert gallery.delete(bobs.id, "bob") == ""
    assert gallery.delete(other.id, "alice") == digest
    assert gallery.list(None) == []


def test_bytes_that_a_job_will_read_are_kept(gallery: Gallery, engine: Engine) -> None:
    jobs = Jobs(engine)
    for end in (jobs.cancel, lambda id: jobs.start(id) and jobs.finish(id, [], {})):
        one, other = add(gallery), add(gallery)
        job = jobs.add(a_job(task="edit", request={"image": {"digest": one.digest}}))
        assert gallery.delete(one.id, "alice") == ""
        assert gallery.delete(other.id, "alice") == other.digest
        assert end(job.id)
        again = add(gallery, digest=one.digest)
        assert gallery.delete(again.id, "alice") == one.digest


def test_of_many_deleted_at_once_one_is_the_last(gallery: Gallery) -> None:
    for round in range(5):
        alike = [add(gallery, digest=a_digest(str(round))).id for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda id: gallery.delete(id, "alice"), alike))
        assert sorted(map(str, told)) == ["", "", "", a_digest(str(round))]


def test_collections(gallery: Gallery) -> None:
    picture, other = add(gallery), add(gallery)
    owls, apples = (gallery.create_collection("alice", name) for name in (" owls ", "apples"))
    assert (owls.name, owls.count) == ("owls", 0)
    assert gallery.collections("alice") == [apples, owls]
    assert gallery.collections("bob") == []
    assert gallery.put_into(owls.id, picture.id, "alice")
    assert gallery.put_into(owls.id, picture.id, "alice"), "it is there already"
    assert gallery.put_into(apples.id, picture.id, "alice")
    assert gallery.put_into(owls.id, other.id, "alice")
    assert [found.count for found in gallery.collections("alice")] == [1, 2]
    assert gallery.list("alice", collection=owls.id) == [other, picture]
    assert gallery.take_out(owls.id, other.id, "alice")
    assert not gallery.take_out(owls.id, other.id, "alice")
    assert gallery.list("alice", collection=owls.id) == [picture]
    assert gallery.delete_collection(owls.id, "alice")
    assert not gallery.delete_collection(owls.id, "alice")
    assert gallery.list("alice", collection=owls.id) == []
    assert gallery.get(picture.id) == picture, "a collection's pictures outlive it"


def test_a_deleted_picture_leaves_its_collections(gallery: Gallery) -> None:
    picture, owls = add(gallery), gallery.create_collection("alice", "owls")
    gallery.put_into(owls.id, picture.id, "alice")
    gallery.delete(picture.id, "alice")
    assert gallery.collections("alice") == [owls]


def test_names_of_collections(gallery: Gallery) -> None:
    owls, apples = (gallery.create_collection("alice", name) for name in ("owls", "apples"))
    taken = "there is a collection named owls already: choose another name"
    with pytest.raises(RequestError, match=taken):
        gallery.create_collection("alice", "owls")
    with pytest.raises(RequestError, match=taken):
        gallery.rename_collection(apples.id, "alice", "owls")
    with pytest.raises(RequestError, match="a name has 1 to 100"):
        gallery.create_collection("alice", " ")
    with pytest.raises(RequestError, match="a name has 1 to 100"):
        gallery.rename_collection(apples.id, "alice", "")
    assert gallery.create_collection("bob", "owls").owner == "bob"
    renamed = gallery.rename_collection(owls.id, "alice", "birds")
    assert renamed is not None
    assert (renamed.id, renamed.name) == (owls.id, "birds")
    assert gallery.collections("alice") == [apples, renamed]
    assert gallery.rename_collection(owls.id, "bob", "mine") is None


def test_a_collection_is_of_its_owners_pictures(gallery: Gallery) -> None:
    mine, theirs = add(gallery), add(gallery, owner="bob")
    owls = gallery.create_collection("alice", "owls").id
    assert not gallery.put_into(owls, theirs.id, "alice")
    assert not gallery.put_into(owls, theirs.id, "bob")
    assert not gallery.put_into("col_none", mine.id, "alice")
    assert not gallery.put_into(owls, "img_none", "alice")
    assert gallery.put_into(owls, mine.id, "alice")
    assert not gallery.take_out(owls, mine.id, "bob")
    assert not gallery.delete_collection(owls, "bob")
    assert gallery.list("alice", collection=owls) == [mine]


def test_threads_put_the_same_picture_in_once(gallery: Gallery) -> None:
    picture, owls = add(gallery).id, gallery.create_collection("alice", "owls").id
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: gallery.put_into(owls, picture, "alice"), range(8)))
    assert gallery.collections("alice")[0].count == 1
