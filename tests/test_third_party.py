"""The credits: written whole from a data folder, and shipped whole."""

import io
import json
import re
import runpy
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "third_party.py"))
CREDITS = (ROOT / SCRIPT["CREDITS"]).read_text(encoding="utf-8")


def record(**fields: str) -> dict[str, str]:
    """A photograph's record, with `fields` in place of the usual."""
    usual = {
        "author": "Ada",
        "author_url": "https://www.flickr.com/photos/ada/12/",
        "source_path": "daisy/12_ab_n.jpg",
        "source_repo": "owner/photos@abc",
        "licence": "CC-BY-2.0",
    }
    return {**usual, **fields}


def write_set(folder: Path, notice: str, licence: str, records: list[dict[str, str]]) -> None:
    folder.mkdir()
    (folder / "NOTICE.txt").write_text(notice)
    (folder / "LICENSE.txt").write_text(licence)
    with tarfile.open(folder / f"{folder.name}.tar", "w") as tar:
        for number, fields in enumerate(records):
            content = json.dumps(fields).encode()
            member = tarfile.TarInfo(f"{number}.json")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_page_names_every_set_and_holds_each_mit_licence_once(tmp_path: Path) -> None:
    mit = "  MIT License\n  Copyright Ada"
    for name in ("art", "more-art"):
        write_set(tmp_path / name, f"{name}\nLicence: MIT\n\nDrawn by Ada.", mit, [record()])
    page = SCRIPT["third_party"]([SCRIPT["read_set"](tmp_path / name) for name in ("art", "more-art")])
    assert "| art | 1 | MIT | [owner/photos](https://github.com/owner/photos)@abc |" in page
    assert "### more-art" in page
    assert page.count("Drawn by Ada.") == 1
    assert page.count("\nMIT License\nCopyright Ada\n") == 1


def test_licences_of_a_set_without_its_own_are_those_of_its_records(tmp_path: Path) -> None:
    write_set(tmp_path / "mix", "mix: both.", "", [record(licence="MIT"), record(licence="Apache-2.0")])
    assert SCRIPT["read_set"](tmp_path / "mix").licence == "Apache-2.0, MIT"


def test_credits_have_one_line_per_author() -> None:
    other = record(author="Bo", author_url="https://www.flickr.com/photos/bo/3/", source_path="rose/3_x.jpg")
    page = SCRIPT["credits_page"]([other, record(), record(source_path="rose/11_x.jpg")])
    assert page.endswith(
        "\nAda\thttps://www.flickr.com/photos/ada/\t11 12\nBo\thttps://www.flickr.com/photos/bo/\t3\n"
    )
    assert "3 pictures by 2 authors" in page


def test_an_author_behind_a_page_is_found() -> None:
    odd = record(author="https://www.flickr.com/photos/ada/ - by Ada  L", author_url="")
    assert SCRIPT["credit"](odd) == ("Ada L", "https://www.flickr.com/photos/ada/", "12")


def test_a_photograph_without_author_stops_the_writing() -> None:
    with pytest.raises(AssertionError, match="no page"):
        SCRIPT["credit"](record(author_url=""))


def test_shipped_credits_are_as_many_as_they_say() -> None:
    stated = re.search(r"([\d,]+) pictures by ([\d,]+) authors", CREDITS)
    assert stated
    photographs, authors = (int(number.replace(",", "")) for number in stated.groups())
    lines = [line.split("\t") for line in CREDITS.splitlines() if "\t" in line]
    numbers = [number for _, _, listed in lines for number in listed.split()]
    assert len(lines) == authors
    assert len(set(numbers)) == len(numbers) == photographs
    assert f"| tf-flowers | {photographs:,} | CC-BY-2.0 |" in (ROOT / "THIRD_PARTY.md").read_text(
        encoding="utf-8"
    )


def test_sample_photographs_are_credited() -> None:
    records = SCRIPT["read_records"](ROOT / "data" / "sample" / "tf-flowers" / "tf-flowers.tar")
    credits = [SCRIPT["credit"](fields) for fields in records]
    lines = {tuple(line.split("\t")[:2]): line for line in CREDITS.splitlines() if "\t" in line}
    assert credits
    assert all(number in lines[author, page].split("\t")[2].split() for author, page, number in credits)
