"""The pages for people. All data from outside is escaped here."""

from __future__ import annotations

import html
import secrets

from aiohttp import web

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style nonce="{nonce}">
 :root {{ color-scheme: light dark; --back: #f3f4f6; --card: #fff; --text: #111827; --soft: #4b5563; --line: #d1d5db; }}
 @media (prefers-color-scheme: dark) {{
  :root {{ --back: #111827; --card: #1f2937; --text: #f9fafb; --soft: #9ca3af; --line: #4b5563; }} }}
 body {{ font: 16px/1.5 system-ui, sans-serif; background: var(--back); color: var(--text); margin: 0; padding: 1rem; }}
 main {{ max-width: {width}; margin: 10vh auto; background: var(--card); padding: 2rem; border-radius: 12px;
        box-shadow: 0 1px 8px #0002; overflow-wrap: anywhere; }}
 h1 {{ font-size: 1.35rem; line-height: 1.3; margin: 0 0 1rem; }}
 li {{ margin: .25rem 0; }}
 form {{ display: flex; gap: .75rem; margin: 1.5rem 0; }}
 button {{ font: inherit; padding: .6rem 1.6rem; border-radius: 8px; border: 1px solid var(--line); cursor: pointer;
          background: var(--card); color: var(--text); }}
 button.primary {{ background: #1d4ed8; border-color: #1d4ed8; color: #fff; }}
 button:focus-visible {{ outline: 3px solid #60a5fa; outline-offset: 2px; }}
 small {{ color: var(--soft); }}
</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""

_CONSENT = """<h1>{client} asks for access to your data</h1>
<p>It asks to:</p>
<ul>{scopes}</ul>
<form method="post" action="{action}">
<button class="primary" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>
<p><small>You will be sent back to <strong>{host}</strong>. This is a local emulator: no real account is
involved.</small></p>"""

_FORM_POST = """<h1>One more step</h1>
<p>Your answer is on its way to <strong>{host}</strong>.</p>
<form method="post" action="{action}">
{fields}
<button class="primary">Continue</button>
</form>
<script nonce="{nonce}">document.forms[0].submit()</script>"""


def notice(title: str, text: str, *, status: int = 200) -> web.Response:
    """A page with a heading and a sentence."""
    return page(title, f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(text)}</p>", status=status)


def consent(*, client: str, scopes: list[str], host: str, action: str) -> web.Response:
    """The page that asks a person to allow or deny; it needs no JavaScript."""
    body = _CONSENT.format(
        client=html.escape(client),
        scopes="".join(f"<li>use <strong>{html.escape(scope)}</strong></li>" for scope in scopes),
        host=html.escape(host),
        action=html.escape(action),
    )
    return page("Allow access?", body)


def form_post(*, action: str, host: str, fields: dict[str, str]) -> web.Response:
    """The page that sends an answer to the client by POST. Without JavaScript, a person clicks a button."""
    nonce = secrets.token_urlsafe(12)
    inputs = (
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )
    body = _FORM_POST.format(action=html.escape(action), host=html.escape(host), fields="\n".join(inputs), nonce=nonce)
    return page("One more step", body, nonce=nonce)


def page(title: str, body: str, *, status: int = 200, nonce: str | None = None, wide: bool = False) -> web.Response:
    """A page with this body, which is already HTML."""
    nonce = nonce or secrets.token_urlsafe(12)
    # There is no form-action: Chromium would apply it to the redirect after the form, which goes to the client.
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return web.Response(
        status=status,
        text=_PAGE.format(title=html.escape(title), body=body, nonce=nonce, width="46rem" if wide else "26rem"),
        content_type="text/html",
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )
