"""Words that are kept for ever, in the ledger and in the log: no token of an entity may stand in them.

An erasure takes a token out of the dictionary. What somebody wrote beside a
surrogate, it could not find.
"""

import re
from collections.abc import Iterable

from fraud.errors import InvalidInput


def check_wording(tokens: Iterable[str], *, actor: str, reason: str) -> None:
    """Refuse who and why of an entry that is about entities if one of their tokens, as a word, is in it.

    Raises:
        InvalidInput: actor or reason holds one.

    >>> check_wording(["tok_8f2c"], actor="ann", reason="case 17, not tok_8f2c9")
    """
    for token in filter(None, tokens):
        word = re.compile(rf"(?<!\w){re.escape(token)}(?!\w)")
        for field, text in (("actor", actor), ("reason", reason)):
            if word.search(text):
                raise InvalidInput(
                    field, "holds the token", "it is kept for ever: name the case or the request instead"
                )
