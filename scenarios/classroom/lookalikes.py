"""Names that look alike: letters of two scripts within one word, and two names that a reader cannot tell apart.

After UTS #39, Unicode Security Mechanisms (https://www.unicode.org/reports/tr39/): 5.2, Highly Restrictive, and 4,
Confusable Detection. Its table has thousands of letters; LOOKS has those that look like a letter of English.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

# A script is the first word of a letter's name. East Asian ones stand together in one word, and beside Latin letters.
EAST_ASIAN = {"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HALFWIDTH", "BOPOMOFO", "HANGUL"}
LATINS = ("LATIN", "FULLWIDTH")
OF_EVERY_SCRIPT = {"MODIFIER", "FEMININE", "MASCULINE"}  # an apostrophe that is a letter, the ordinals of Spanish
# By a letter of English the Cyrillic and the Greek ones of that shape; last, what looks like the letters l and o.
LOOKS = str.maketrans({
    look: letter
    for letter, looks in {
        "A": "\u0410\u0391", "B": "\u0412\u0392", "C": "\u0421", "E": "\u0415\u0395", "H": "\u041d\u0397",
        "J": "\u0408\u037f", "K": "\u041a\u039a", "M": "\u041c\u039c", "N": "\u039d", "P": "\u0420\u03a1",
        "S": "\u0405", "T": "\u0422\u03a4", "X": "\u0425\u03a7", "Y": "\u0423\u04ae\u03a5", "Z": "\u0396",
        "a": "\u0430\u03b1", "c": "\u0441", "d": "\u0501", "e": "\u0435", "h": "\u04bb", "i": "\u0456\u03b9\u0131",
        "j": "\u0458", "p": "\u0440\u03c1", "q": "\u051b", "s": "\u0455", "u": "\u03c5", "v": "\u0475\u03bd",
        "w": "\u051d", "x": "\u0445\u03c7", "y": "\u0443\u03b3",
        "l": "I1|\u0406\u0399\u04c0\u04cf\u4e28", "o": "0\u041e\u043e\u039f\u03bf",
    }.items()
    for look in looks
})  # fmt: skip


def mixed(name: str) -> list[str]:
    """The scripts of the first word that has letters of several which do not stand together; none if no word has."""
    for word in _words(name):
        scripts = {unicodedata.name(letter, "?").partition(" ")[0] for letter in word} - OF_EVERY_SCRIPT
        if len(scripts) > 1 and not any(scripts <= {*EAST_ASIAN, latin} for latin in LATINS):
            return sorted(scripts)
    return []


def _words(name: str) -> Iterator[str]:
    """The letters of each word; a hyphen ends a word as a blank does, a mark upon a letter does not."""
    kept = (one if one.isalpha() else "" if unicodedata.category(one)[0] == "M" else " " for one in name)
    yield from "".join(kept).split()


def look(name: str) -> str:
    """The same for two names that look the same: compatibility forms, capitals and look-alike letters are one."""
    return unicodedata.normalize("NFKD", name).translate(LOOKS).casefold()
