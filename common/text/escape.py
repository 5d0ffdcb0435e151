"""Text that somebody else wrote, as it may be put on a terminal or into a log.

A prompt, a label or the reason of a failure may hold control characters, which a terminal obeys:
they move the cursor, rewrite what stands there, set the window's title. Characters that turn the
direction of writing make a text look like another. Both are shown as `\\u001b`, which in JSON
means what it was.
"""

from __future__ import annotations

import re

_OBEYED = re.compile(
    r"(?P<colour>\x1b\[(?:[0-2]|3[0-7])m)"  # what click.style writes
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escaped(text: str) -> str:
    """`text` with line breaks, tabs and plain colours alone of all that a terminal obeys."""
    return _OBEYED.sub(lambda match: match["colour"] or f"\\u{ord(match[0]):04x}", text)
