"""Tells in which of several encodings a text is that can be read in all of them, or that nobody can tell.

Of few characters the most plausible encoding often is the wrong one. So an encoding has to show what is usual in it,
and the others must not: Windows-1252 accented letters beside plain ones, Shift_JIS kana and the common kanji, GB18030
the common hanzi. Hardly any bytes are usual in two of them.
"""

import re
from typing import Final

from charset_normalizer import from_bytes

GUESSED: Final = ("cp1252", "cp932", "gb18030")

_MOSTLY, _DOUBTFUL, _HARDLY = 0.75, 0.5, 0.25
# Fewer different characters do not tell encodings from one another that write a character in two bytes.
_FEWEST_CHARACTERS: Final = 4
# From so many different words on, what is unusual in all of them is left to a library that knows languages.
_MANY_WORDS: Final = 60

_LETTER: Final = "[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]"
_WORD: Final = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+[\x00-\x7f]?")
_WESTERN: Final = re.compile(rf"[\x00-\x7f]?{_LETTER}[\x00-\x7f]?|[a-z]{_LETTER}{{2,3}}[a-z]")
_KANA: Final = "[\uff61-\uff9f]"
_LONE_KANA: Final = re.compile(rf"(?:[\x00-\x7f]|(?<!{_KANA}){_KANA}(?!{_KANA}))*")


def only_lone_kana(sample: bytes) -> bool:
    """Whether all that is not ASCII would be half-width katakana that stand alone, which nobody writes."""
    return _LONE_KANA.fullmatch(sample.decode("cp932", "replace")) is not None


def told_apart(sample: bytes, possible: list[str]) -> str | None:
    """The one of the ``possible`` encodings (of ``GUESSED``) that a text is in, ``None`` if that cannot be told."""
    usual = {name: _usual(sample.decode(name, "ignore"), name) for name in possible}
    best = max(usual, key=lambda name: usual[name])
    if usual.pop(best) >= _MOSTLY and max(usual.values()) <= _HARDLY:
        return best
    if len(_words(sample.decode("latin-1"))) < _MANY_WORDS:
        return None
    found = from_bytes(sample, cp_isolation=possible).best()
    return None if found is None or found.encoding not in possible else found.encoding


def _usual(text: str, name: str) -> float:
    """Which part of what is not ASCII in a text, each different one counted once, is usual in an encoding."""
    if name == "cp1252":
        words = _words(text)
        return sum(_WESTERN.fullmatch(word) is not None for word in words) / len(words)
    characters = {one for one in text if not one.isascii()}
    if name == "cp932" and re.fullmatch(f"{_KANA}+", "".join(characters)):
        # Names are written so, and bytes of many hanzi look so.
        return _DOUBTFUL
    common = sum(_is_common(one.encode(name), name) for one in characters) / len(characters)
    return common if len(characters) >= _FEWEST_CHARACTERS else min(common, _DOUBTFUL)


def _words(text: str) -> set[str]:
    """What is not ASCII, with the character before and behind."""
    return {*_WORD.findall(text)}


def _is_common(character: bytes, name: str) -> bool:
    if len(character) != 2:
        return False
    if name == "cp932":
        # Punctuation and kana, and the first of the two levels of kanji.
        return character < b"\x84" or b"\x88\x9f" <= character <= b"\x98\x72"
    # Punctuation, and the first of the two levels of hanzi.
    return character[1] > 0xA0 and (b"\xa1" <= character < b"\xa4" or b"\xb0" <= character < b"\xd8")
