"""Text for people: names that are offered, and what others wrote made safe to show.

suggest   the "did you mean" of messages
escape    control characters made visible
letters   which characters a name keeps
redact    URLs without their secrets
"""

from __future__ import annotations

from common.text.escape import escaped
from common.text.letters import is_letter, words_of
from common.text.redact import without_login, without_password
from common.text.suggest import ELSEWHERE, LISTED, closest, suggestion

__all__ = [
    "ELSEWHERE",
    "LISTED",
    "closest",
    "escaped",
    "is_letter",
    "suggestion",
    "without_login",
    "without_password",
    "words_of",
]
