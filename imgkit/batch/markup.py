"""HTML that is escaped unless it was made here: text cannot become markup, whatever it holds.

There is no way to put a string into a page but through `element` and `text`, and both escape it. Control characters,
bytes that are no UTF-8 and characters that turn the direction of writing are made visible.
"""

from __future__ import annotations

from html import escape

from imgkit.visible import visible_text


class Html(str):
    """A piece of HTML that is right as it is."""

    __slots__ = ()


_VOID = {"meta", "input", "br", "use", "rect", "path", "line"}


def text(content: object) -> Html:
    """Text as HTML; HTML as it is."""
    if isinstance(content, Html):
        return content
    return Html(escape(visible_text(str(content))))


def joined(*content: object) -> Html:
    """Pieces in a row."""
    return Html("".join(map(text, content)))


def element(name: str, /, *content: object, **attributes: object) -> Html:
    """An element. An attribute that is None or False is left out, a true one has no value.

    `_` in an attribute's name stands for `-`, and one at its end for nothing (`class_`).
    """
    written = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID and not content:
        return Html(f"<{name}{written}/>" if name in {"use", "rect", "path", "line"} else f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(*content)}</{name}>")


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
