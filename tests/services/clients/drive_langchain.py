"""Draws with LangChain's wrapper as it is, and as its older releases called it, and opens what it returns."""

import json
import urllib.request
import warnings

warnings.simplefilter("ignore")  # the package says that it is not developed any more
from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper  # noqa: E402

PROMPT = "a red cube on a table"


def types(urls: str) -> list[str]:
    """The types of what the links lead to, without a key."""
    answers = [urllib.request.urlopen(url) for url in urls.split("\n")]
    return [answer.headers["content-type"] for answer in answers]


plain = DallEAPIWrapper()
older = DallEAPIWrapper(quality="standard", n=2, size="256x256")  # until 0.3.27 it always sent this quality
print(json.dumps({"plain": types(plain.run(PROMPT)), "older": types(older.run(PROMPT))}))
