"""Which redirects are followed: those of a read, within the API's own origin."""

from __future__ import annotations

from typing import final
from urllib.parse import urljoin, urlsplit

import attrs
from yarl import URL

from peaka_async._transport.answer import Answer
from peaka_async.errors import RedirectBlockedError

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5


@final
@attrs.frozen
class Pointer:
    """Where a redirect points: an origin, and a path with its query; both empty if it names nothing usable."""

    origin: str
    target: str

    @classmethod
    def read(cls, answer: Answer, base: str, target: str) -> Pointer:
        """What the answer to a request for `target` points to; relative references are resolved."""
        try:
            url = urlsplit(urljoin(base + target, answer.headers["Location"]))
            origin = str(URL.build(scheme=url.scheme, host=url.hostname or "", port=url.port).origin())
        except (KeyError, ValueError):
            return cls("", "")
        return cls(origin, URL(url._replace(scheme="", netloc="", fragment="").geturl()).raw_path_qs)

    def refusal(self, answer: Answer) -> RedirectBlockedError:
        """The error for a redirect that is not followed; the query stays out of it."""
        location = f"{self.origin}{self.target.partition('?')[0]}" if self.origin else None
        msg = (
            f"HTTP {answer.status} points to {location or 'nowhere'} and was not followed: a redirect is not followed "
            "with a body, to another origin or without end. Check base_url and zone."
        )
        return RedirectBlockedError(msg, status=answer.status, location=location)
