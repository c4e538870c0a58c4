"""Text from models and data on its way into HTML: everything is escaped, in markup and inside the JSON island."""

import html
import json
import re
from collections.abc import Mapping

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MARKUP = re.compile(r"[<>&]")


def text(value: object) -> str:
    """Escape for element content and quoted attributes; control characters and lone surrogates become U+FFFD."""
    return html.escape(_CONTROL.sub("\ufffd", str(value)), quote=True)


def island(value: object) -> str:
    r"""JSON that is safe inside ``<script type="application/json">``.

    Everything outside ASCII is written as ``\uXXXX`` (U+2028 and lone surrogates among it), and so are ``<``, ``>`` and
    ``&``: no ``</script>`` and no ``<!--`` can occur, whatever a model answers.
    """
    dumped = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return _MARKUP.sub(lambda match: f"\\u{ord(match[0]):04x}", dumped)


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """An element around ``content``, which is markup already; attributes are escaped, None and False left out.

    A trailing underscore is dropped from names (``class_``), other underscores become dashes (``aria_label``).
    """
    return f"<{name}{_attributes(attributes)}>{content}</{name}>"


def _attributes(attributes: Mapping[str, object]) -> str:
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        name = key.removesuffix("_").replace("_", "-")
        written.append(f" {name}" if value is True else f' {name}="{text(value)}"')
    return "".join(written)
