"""User names, passwords and tokens with hostile characters, and a check that none of them is printed."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from urllib.parse import quote

HOSTILE = "@/?#:&=;%\\+$!*'\"()[]{}<>|^`~, é"


class Secret:
    """Text with hostile characters between words that occur nowhere else.

    Attributes:
        text: the text.
        words: parts of the text; upper-case letters.
    """

    def __init__(self, generator: random.Random) -> None:
        self.words = ["".join(generator.choices(string.ascii_uppercase, k=5)) for _ in range(generator.randint(1, 3))]
        self.text = self.words[0]
        for word in self.words[1:]:
            self.text += "".join(generator.choices(HOSTILE, k=generator.randint(1, 3))) + word

    def leaks_into(self, output: str) -> bool:
        """Return True if a part of the secret occurs in an output."""
        return any(word in output for word in self.words)


def addresses(generator: random.Random, scheme: str) -> Iterator[tuple[str, list[Secret]]]:
    """Yield addresses in many forms, each with the secrets in it."""
    user, password = Secret(generator), Secret(generator)
    raw, encoded = f"{user.text}:{password.text}", f"{quote(user.text, safe='')}:{quote(password.text, safe='')}"
    query = f"user={user.text}&password={password.text}"
    both = [user, password]
    for scheme_ in (scheme, scheme.upper()):
        yield f"{scheme_}://{raw}@host/live", both
        yield f"{scheme_}://{encoded}@host:81/live", both
        yield f"{scheme_}://admin:{password.text}@host", [password]
        yield f"{scheme_}://{raw}@host/{query}", both
        yield f"{scheme_}://host/live?{query}", both
        yield f"{scheme_}://host/{query}_channel=1", both
        yield f"{scheme_}://host/{quote(quote(query, safe=''), safe='')}", both
        yield f"{scheme_}://{raw}@mid@host/live", both
    yield f"{raw}@host/live", both
    yield f"{encoded}@host/live", both
    yield quote(f"{raw}@host/live"), both
    yield f"host/{query}", both
    yield f"{scheme}:/{raw}@host/live", both
