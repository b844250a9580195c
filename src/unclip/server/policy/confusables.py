"""Text as an eye reads it: letters that look alike are one letter, and what is not seen is gone.

The letters were picked by eye from Unicode's Cyrillic, Greek, Armenian, Cherokee and Latin blocks: those that
stand for an ASCII letter in common type faces. Unicode's own list (UTS #39, confusables.txt) is far longer,
and takes some ASCII letters for each other ("rn" and "m"), which would change words here.
"""
# ruff: noqa: RUF001

import re
import unicodedata

_LIKE = {
    "a": "АаΑαɑᴀ",
    "b": "ВвΒβᏼƀɓʙ",
    "c": "Ссᴄ",
    "d": "ԀԁᎠĐđɗᴅ",
    "e": "ЕеΕεᴇ",
    "f": "ꜰ",
    "g": "Ԍԍɠɡɢ",
    "h": "НнҺһΗհᎻĦħʜ",
    "i": "ІіΙιıɨɩɪ",
    "j": "Јјᴊ",
    "k": "КкΚκƙᴋ",
    "l": "ӀӏᏞŁłʟ",
    "m": "МмΜɱᴍ",
    "n": "Νηոƞɴ",
    "o": "ОоΟοՕօØøᴏ",
    "p": "РрΡρᏢƥᴘ",
    "q": "Ԛԛ",
    "r": "Ꭱʀ",
    "s": "ЅѕՏᏚꜱ",
    "t": "ТтΤτᎢŦŧƭᴛ",
    "u": "υսᴜ",
    "v": "Ѵѵνʋᴠ",
    "w": "ԜԝωᎳɯᴡ",
    "x": "ХхΧχ",
    "y": "УуҮүΥʏ",
    "z": "Ζᴢ",
    "ae": "Ææ",
    "oe": "Œœ",
}
_ENCLOSED = (0x1F150, 0x1F170, 0x1F1E6)  # A to Z in black circles, in black squares, and as halves of flags
_TABLE = {ord(char): letter for letter, chars in _LIKE.items() for char in chars} | {
    first + place: chr(ord("a") + place) for first in _ENCLOSED for place in range(26)
}
# Marks that may stand over letters, in Hebrew and Arabic with the vowels that mostly go unwritten; variation
# selectors; and fillers that show nothing.
_UNSEEN = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\U000e0100-\U000e01ef"
    "\u0483-\u0489\u0591-\u05bd\u05bf\u05c1-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0]"
)


def fold(text: str) -> str:
    """Return a text without what does not change how it is read.

    That is: compatibility forms (NFKC), case, accents, characters of no width, and the script that a letter
    was borrowed from.
    """
    apart = _UNSEEN.sub("", unicodedata.normalize("NFKD", text))
    seen = "".join(char for char in apart if char.isspace() or unicodedata.category(char) not in ("Cf", "Cc"))
    # Capitals first: some look like another letter than their small ones do.
    return unicodedata.normalize("NFC", seen.translate(_TABLE).casefold().translate(_TABLE))
