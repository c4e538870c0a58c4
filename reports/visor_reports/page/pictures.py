"""A figure inside the page: its SVG without anything that could clash or load."""

import re

from visor_reports.figures.canvas import Picture
from visor_reports.page.markup import element, text

_HEAD = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_OPENING = re.compile(r"<svg\b[^>]*>", re.DOTALL)
_SIZE = re.compile(r'\s(?:width|height)="[^"]*"')
_ID = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'url\(#([^)]+)\)|((?:xlink:)?href)="#([^"]+)"')
_LOADING = re.compile(r'\s(?:xlink:)?href="(?!#|data:)[^"]*"')


def picture_html(picture: Picture, *, anchor: str) -> str:
    """A figure with title and caption; its SVG stands in the page itself.

    Args:
        picture: as written to disk.
        anchor: id of the block, unique in the page.
    """
    return element(
        "figure",
        element("h3", text(picture.title))
        + element(
            "div",
            inline_svg(picture.svg, prefix=anchor, title=picture.title),
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label=picture.title,
        )
        + element("figcaption", text(picture.caption)),
        id=anchor,
        class_="picture",
    )


def inline_svg(svg: str, *, prefix: str, title: str) -> str:
    """A whole SVG document as an element of a page.

    Ids get a prefix, so that several pictures share a page; the document's head and metadata go, as does every
    reference to another file; the size follows the page.
    """
    svg = _METADATA.sub("", _HEAD.sub("", svg, count=1))
    svg = _LOADING.sub("", svg)
    svg = _ID.sub(lambda match: f'id="{prefix}-{match[1]}"', svg)
    svg = _REFERENCE.sub(
        lambda match: f"url(#{prefix}-{match[1]})" if match[1] else f'{match[2]}="#{prefix}-{match[3]}"', svg
    )
    opening = _OPENING.search(svg)
    if opening is None:
        raise ValueError("expected an SVG document")
    fitted = _SIZE.sub("", opening[0])[:-1] + f' role="img" aria-label="{text(title)}">'
    return (svg[: opening.start()] + fitted + svg[opening.end() :]).strip()
