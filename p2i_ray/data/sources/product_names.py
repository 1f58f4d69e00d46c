"""Clean the names that shop systems export: HTML, entities and invisible characters leave them."""

from __future__ import annotations

import html
import re
import unicodedata

# A name may hold < and > as signs ("< 5 cm"), so only what is an HTML element leaves it.
_ELEMENTS = (
    "a|abbr|b|big|blockquote|br|center|code|dd|div|dl|dt|em|font|h[1-6]|hr|i|img|ins|li|mark|meta|ol|p|pre|q|s|small|"
    "span|strike|strong|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul"
)
_HIDDEN = re.compile(r"<(script|style|head)\b[^>]*>.*?</\1\s*>|<!--.*?-->", re.I | re.S)
_BREAK = re.compile(r"</?(?:br|p|div|li|ul|ol|h[1-6]|hr|tr|td|th|table|dd|dt)\b[^<>]*>", re.I)
_TAG = re.compile(rf"</?(?:{_ELEMENTS})\b[^<>]*>", re.I)
# Marks that turn the direction of what follows: right-to-left text needs none, and they hide what a name says.
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_MARKUP = re.compile("[<&]")
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # also halves of UTF-16's pairs
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-f]+|[a-z][a-z0-9]*);", re.I)


def clean(name: str) -> str:
    """A name as people read it, on one line, in NFC.

    HTML elements, entities (also when they were escaped twice), control characters and marks of direction go; `<` and
    `>` as signs stay. Letters of any script stay.
    """
    if name.isascii() and name.isprintable() and not _MARKUP.search(name):
        return " ".join(name.split())
    for _ in range(2):  # exports escape HTML that was escaped already
        if "<" in name:
            name = _TAG.sub("", _BREAK.sub(" ", _HIDDEN.sub(" ", name)))
        if "&" in name:
            name = _ENTITY.sub(lambda found: html.unescape(found[0]), name)
    name = unicodedata.normalize("NFC", _DIRECTION.sub("", name))
    return " ".join(CONTROL.sub(" ", name).split())
