"""Write THIRD_PARTY.md and the credits of the flower photographs from the data folder's notices and records.

python docs/third_party.py DATA_FOLDER
"""

import json
import re
import sys
import tarfile
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CREDITS = "src/unclip/bundled/CREDITS-flowers.txt"

HEAD = f"""# Third-party works

Every picture that the bundled model may learn from is in one of these sets. This page is written by
`docs/third_party.py` from the notices and records of the sets.

| set | pictures | licence | source |
|---|---:|---|---|
{{table}}

The authors of the flower photographs are credited one by one in [CREDITS-flowers.txt]({CREDITS}),
which is part of every installed copy. Of the other licences, Apache-2.0 is in [LICENSE](LICENSE), the MIT
licences are at the end of this page, and the rest are public:
[CC-BY-2.0](https://creativecommons.org/licenses/by/2.0/),
[CC0-1.0](https://creativecommons.org/publicdomain/zero/1.0/),
[Unicode-3.0](https://www.unicode.org/license.txt).
"""

CREDITS_HEAD = """\
Photographs of flowers from Flickr: {photographs:,} pictures by {authors:,} authors, each licensed under
Creative Commons Attribution 2.0 (https://creativecommons.org/licenses/by/2.0/). Changes: cropped to a square
and reduced to at most 256 pixels. A line is: author, author's page, numbers of the photographs, with a tab
between; the page of a photograph is the author's page followed by its number.
"""


@dataclass(frozen=True)
class PictureSet:
    """One folder of the data: a shard, its notice and, if it has one of its own, its licence."""

    name: str
    records: list[dict[str, object]]
    notice: str
    licence_text: str

    @property
    def licence(self) -> str:
        """What the notice states, or else each licence that a record names."""
        stated = re.search(r"^Licence: (.*)$", self.notice, re.MULTILINE)
        return stated[1] if stated else ", ".join(sorted({str(record["licence"]) for record in self.records}))

    @property
    def sources(self) -> list[str]:
        """The repositories and commits that the pictures were taken from."""
        return sorted({str(record["source_repo"]) for record in self.records})


def read_records(tar: Path) -> Iterator[dict[str, object]]:
    """Yield the record of every picture of a shard."""
    with tarfile.open(tar) as shard:
        for member in shard:
            content = shard.extractfile(member) if member.name.endswith(".json") else None
            if content:
                yield json.load(content)


def read_set(folder: Path) -> PictureSet:
    """Read a folder that holds NOTICE.txt, NAME.tar and perhaps LICENSE.txt."""
    licence = folder / "LICENSE.txt"
    return PictureSet(
        folder.name,
        list(read_records(folder / f"{folder.name}.tar")),
        (folder / "NOTICE.txt").read_text(encoding="utf-8"),
        licence.read_text(encoding="utf-8") if licence.exists() else "",
    )


def linked(source: str) -> str:
    """Link each repository of "owner/name@commit via owner/name@commit"."""
    return re.sub(r"([\w.-]+/[\w.-]+)(@\w+)?", r"[\1](https://github.com/\1)\2", source)


def paragraphs(notice: str) -> list[str]:
    """Return the notice without its head, each paragraph on lines of at most 110 characters."""
    body = [line for line in notice.splitlines()[1:] if not line.startswith("Licence: ")]
    return [textwrap.fill(line, 110, break_on_hyphens=False) for line in body if line]


def third_party(sets: list[PictureSet]) -> str:
    """Return the page: a table, the notices, and every MIT licence once."""
    rows = [
        f"| {s.name} | {len(s.records):,} | {s.licence} | {'; '.join(map(linked, s.sources))} |" for s in sets
    ]
    page = [HEAD.format(table="\n".join(rows)), "## Notices\n"]
    for s in sets:
        fresh = [text for text in paragraphs(s.notice) if text not in "\n".join(page)]
        page.append("\n\n".join([f"### {s.name}", *fresh]) + "\n")
    page.append("## MIT licences\n")
    texts = dict.fromkeys(textwrap.dedent(s.licence_text).strip() for s in sets if "MIT" in s.licence)
    page += [f"```text\n{text}\n```\n" for text in texts if text]
    return "\n".join(page)


def credit(record: dict[str, object]) -> tuple[str, str, str]:
    """Return author, author's page and number of a photograph; Flickr's file names begin with the number.

    In a few records the author's page stands in front of the name: "https://... - by Name".
    """
    page, _, author = str(record["author"]).rpartition(" - by ")
    url = str(record["author_url"]) or page
    owner = re.match(r"https://www\.flickr\.com/photos/[^/]+/", url)
    number = re.match(r"\d+", Path(str(record["source_path"])).name)
    assert owner, f"no page of the author: {record}"
    assert number, f"no number: {record}"
    return " ".join(author.split()), owner[0], number[0]


def credits_page(records: list[dict[str, object]]) -> str:
    """Return the credits, one line per author, in the order of their names."""
    photographs: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for record in records:
        author, page, number = credit(record)
        photographs[author, page].append(number)
    lines = [
        f"{author}\t{page}\t{' '.join(sorted(numbers))}"
        for (author, page), numbers in sorted(photographs.items(), key=lambda item: item[0][0].casefold())
    ]
    head = CREDITS_HEAD.format(photographs=len(records), authors=len(photographs))
    return "\n".join([head, *lines]) + "\n"


def main(data: Path) -> None:
    """Write both files."""
    sets = [read_set(notice.parent) for notice in sorted(data.glob("*/NOTICE.txt"))]
    flowers = next(s for s in sets if s.name == "tf-flowers")
    (ROOT / "THIRD_PARTY.md").write_text(third_party(sets), encoding="utf-8")
    (ROOT / CREDITS).write_text(credits_page(flowers.records), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
