"""The verdict on what is asked for: whether it is flagged, by what, and whether that refuses it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from unclip.server.policy.moderation import ModerationUnavailable, ask, check_url
from unclip.server.policy.words import WordFile

Mode = Literal["off", "flag", "block"]


@dataclass(frozen=True)
class Verdict:
    """What was found, and whether it is a reason to refuse. Holds nothing of the text itself.

    flagged: as "words: violence: bloodbath", "moderation: hate", "concept: animals"; what is behind "words"
        are the list's own words, not those of the text.
    """

    flagged: tuple[str, ...] = ()
    refused: bool = False


class Policy:
    """What the front does with prompts before they are queued, and with what the engine finds.

    "off" looks at nothing, "flag" tells, "block" refuses what is flagged. The moderator's URL, key and model
    are those of `moderation.ask`. Raises RequestError for a URL that is none.
    """

    def __init__(
        self,
        mode: Mode,
        words: WordFile,
        moderation_url: str | None = None,
        moderation_key: str | None = None,
        moderation_model: str | None = None,
    ) -> None:
        self.mode: Mode = mode
        self._words = words
        self._url = check_url(moderation_url) if moderation_url else None
        self._key, self._model = moderation_key, moderation_model

    async def prompt(self, text: str) -> Verdict:
        """Look at one text by the word list, then by the moderator.

        Raises ModerationUnavailable if the moderator cannot be asked and the mode is "block"; in "flag" that
        is a flag of its own.
        """
        if self.mode == "off" or not text:
            return Verdict()
        found = [f"words: {name}" for name in self._words.current().found(text)]
        if self._url and not (found and self.mode == "block"):  # what is refused already is not sent
            found += await self._moderated(self._url, text)
        return self._verdict(found)

    def concepts(self, names: Collection[str]) -> Verdict:
        """Judge by the concepts that the engine has found, in a text or a picture (see engine.concepts)."""
        return self._verdict([] if self.mode == "off" else [f"concept: {name}" for name in names])

    async def _moderated(self, url: str, text: str) -> list[str]:
        try:
            categories = await ask(url, text, self._key, self._model)
        except ModerationUnavailable:
            if self.mode == "block":
                raise
            return ["moderation: unavailable"]
        return [f"moderation: {category}" for category in categories]

    def _verdict(self, found: Collection[str]) -> Verdict:
        return Verdict(tuple(found), bool(found) and self.mode == "block")
