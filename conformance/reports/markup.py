"""HTML and SVG as values: what is not markup already is escaped when it becomes a part of it.

Owns: escaping, and the few signs that no text of a page may hold. Invariant: a `str` never becomes markup unescaped.
"""

from __future__ import annotations

import html
import re
from typing import Final

_VOID: Final = frozenset({"meta", "br", "input", "col"})
_UNREADABLE: Final = re.compile(
    "[^\t\n\r\u0020-\u007e\u00a0-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
"""Control characters, which HTML and XML 1.0 refuse, and those that turn the direction of what follows."""

Attribute = str | int | float | bool | None


class Markup(str):
    """Text that is markup. Only this module makes one, apart from the page's own constants."""

    __slots__ = ()


def readable(text: str) -> str:
    """The text without signs that a document must not hold."""
    return _UNREADABLE.sub("\ufffd", text)


def escaped(text: str) -> Markup:
    return text if isinstance(text, Markup) else Markup(html.escape(readable(text), quote=False))


def joined(*parts: str, between: str = "") -> Markup:
    """One markup of several parts; `between` is escaped too."""
    return Markup(escaped(between).join(escaped(part) for part in parts))


def element(name: str, /, *children: str | None, **attributes: Attribute) -> Markup:
    """One element. `class_` is class, `text_anchor` is text-anchor; None and False leave an attribute out."""
    spelled = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(readable(str(value)), quote=True)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{spelled}>")
    return Markup(f"<{name}{spelled}>{joined(*(child for child in children if child is not None))}</{name}>")


def rows(*cells: tuple[str, ...], headings: int = 1) -> Markup:
    """Table rows; the first `headings` cells of each are its headers."""
    return joined(
        *(
            element(
                "tr",
                *(
                    element("th", cell, scope="row") if at < headings else element("td", cell)
                    for at, cell in enumerate(row)
                ),
            )
            for row in cells
        )
    )


def table(caption: str, head: tuple[str, ...], body: str, class_: str = "") -> Markup:
    """A table with a caption, in a frame that scrolls by itself where the screen is too narrow."""
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *(element("th", each, scope="col") for each in head))),
            element("tbody", body) if not body.startswith("<tbody") else Markup(body),
            class_=class_ or None,
        ),
        class_="frame",
        role="region",
        tabindex=0,
        aria_label=caption,
    )
