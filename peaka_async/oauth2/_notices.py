"""The default pages for people, if the application has no own pages. All data from outside is escaped here."""

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

Kind = Literal[
    "connected",
    "not_saved",
    "denied",
    "failed",
    "unknown",
    "unreachable",
    "refused",
    "sign_in",
    "not_offered",
    "too_many",
]

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
<p><a href="{back}">Back to the application</a></p>
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
    """The content of a page.

    Attributes:
        kind: `connected`, `not_saved` (connected, but the application could not save it), `denied` (the customer or the
            provider refused), `failed`, `unknown` (a reload asks Peaka again), `unreachable` (nothing was sent; a
            reload tries again), `refused` (the return is old, or belongs to another browser or user), `sign_in`,
            `not_offered` or `too_many` (open flows of this user).
        status: the HTTP status of the reply.
        title: what happened, for a person. It contains no text of the provider or of a stranger.
        text: what to do next, without such text too.
        back: the path back to the application.
        flow: the flow, if it is known.
        connection: the connection, if there is one.
        error: the error, if there is one.
    """

    kind: Kind
    status: int
    title: str
    text: str
    back: str = "/"
    flow: PendingFlow | None = None
    connection: Connection | None = attrs.field(default=None)
    error: PeakaError | None = attrs.field(default=None, repr=False)


def default_page(notice: Notice) -> Reply:
    """A page without scripts."""
    return _page(notice.title, notice.text, "", back=notice.back, status=notice.status)


def reentry_page(body: bytes, *, back: str) -> Reply:
    """The page that posts a provider's form again, from this origin, so that the browser sends its cookies.

    No URL contains the code. Without JavaScript, a person clicks a button.
    """
    form = _REENTRY.replace("{name}", REENTRY_FIELD).replace("{value}", body.hex())
    return _page("One more step", "Your connection is being completed.", form, back=back, status=200)


def _page(title: str, text: str, more: str, *, back: str, status: int) -> Reply:
    nonce = secrets.token_urlsafe(12)
    # There is no form-action: Chromium would apply it to the redirect after the form, which can go to Peaka.
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    body = _PAGE.format(
        title=html.escape(title),
        text=html.escape(text),
        more=more.replace("{nonce}", nonce),
        back=html.escape(back),
        nonce=nonce,
    )
    return Reply(status, (("Content-Security-Policy", policy),), body)
