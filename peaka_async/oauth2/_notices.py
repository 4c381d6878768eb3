"""The pages that people see where the application has none of its own. Whatever comes from outside is escaped here."""

from __future__ import annotations

import html
import secrets
from typing import Literal, final

import attrs

from peaka_async.errors import PeakaError
from peaka_async.models.connections import Connection
from peaka_async.oauth2._incoming import Reply
from peaka_async.oauth2._pending import PendingFlow

__all__ = ["Notice"]

Kind = Literal["connected", "denied", "failed", "unknown", "unreachable", "refused", "sign_in", "not_offered"]

REENTRY_FIELD = "peaka_return"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style nonce="{nonce}">
 :root {{ color-scheme: light dark; --back: #f3f4f6; --card: #fff; --text: #111827; --link: #1d4ed8; }}
 @media (prefers-color-scheme: dark) {{
  :root {{ --back: #111827; --card: #1f2937; --text: #f9fafb; --link: #93c5fd; }} }}
 body {{ font: 16px/1.5 system-ui, sans-serif; background: var(--back); color: var(--text); margin: 0; padding: 1rem; }}
 main {{ max-width: 26rem; margin: 10vh auto; background: var(--card); padding: 2rem; border-radius: 12px;
        box-shadow: 0 1px 8px #0002; overflow-wrap: anywhere; }}
 h1 {{ font-size: 1.35rem; line-height: 1.3; margin: 0 0 1rem; }}
 a {{ color: var(--link); }}
 button {{ font: inherit; padding: .6rem 1.6rem; border-radius: 8px; border: 0; cursor: pointer;
          background: #1d4ed8; color: #fff; }}
 a:focus-visible, button:focus-visible {{ outline: 3px solid #60a5fa; outline-offset: 2px; }}
</style>
</head>
<body><main>
<h1>{title}</h1>
<p>{text}</p>
{more}
</main></body>
</html>
"""

_REENTRY = """<form method="post">
<input type="hidden" name="{name}" value="{value}">
<button>Continue</button>
</form>
<script nonce="{nonce}">document.forms[0].submit()</script>"""


@final
@attrs.frozen(kw_only=True)
class Notice:
    """What a page has to tell.

    `title` and `text` are for the person, and hold nothing that the provider or a stranger wrote; `flow`,
    `connection` and `error` are there where they are known.

    Attributes:
        kind: `connected`, `denied` (the customer or the provider said no), `failed`, `unknown` (a reload asks Peaka
            again), `unreachable` (nothing was sent; a reload tries again), `refused` (another browser's, user's or an
            old return), `sign_in` or `not_offered`.
    """

    kind: Kind
    status: int
    title: str
    text: str
    flow: PendingFlow | None = None
    connection: Connection | None = attrs.field(default=None)
    error: PeakaError | None = attrs.field(default=None, repr=False)


def default_page(notice: Notice) -> Reply:
    """A page without scripts."""
    back = notice.flow.return_to if notice.flow is not None else None
    more = f'<p><a href="{html.escape(back)}">Back to the application</a></p>' if back else ""
    return _page(notice.title, notice.text, more, status=notice.status, nonce=secrets.token_urlsafe(12))


def reentry_page(body: bytes) -> Reply:
    """The page that posts what a provider posted once more: from this origin, so that the browser adds its cookies.

    The code stays out of every URL. Without JavaScript a person clicks once.
    """
    nonce = secrets.token_urlsafe(12)
    more = _REENTRY.format(name=REENTRY_FIELD, value=body.hex(), nonce=nonce)
    return _page("One more step", "Your connection is being completed.", more, status=200, nonce=nonce)


def _page(title: str, text: str, more: str, *, status: int, nonce: str) -> Reply:
    # No form-action here: Chromium applies it to the redirect that follows the form, and that can lead to Peaka.
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    body = _PAGE.format(title=html.escape(title), text=html.escape(text), more=more, nonce=nonce)
    return Reply(status, (("Content-Security-Policy", policy),), body)
