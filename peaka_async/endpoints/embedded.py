"""Embedded Peaka: sessions of Peaka's user interface in an iframe."""

from __future__ import annotations

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group
from peaka_async.endpoints._deprecated import deprecated
from peaka_async.models.embedded import EmbeddedSession, InitSessionRequest


class Embedded(Group):
    """The sessions of the embedded interface."""

    @deprecated("Use `init_session`.")
    async def init_session_from_query(
        self,
        project_id: str,
        *,
        timeout_in_seconds: int | None = None,
        theme: str | None = None,
        theme_override: bool | None = None,
    ) -> EmbeddedSession:
        """Start a session with the whole interface.

        [API page](https://docs.peaka.com/api-reference/embedded-peaka-api/init-session-deprecated)

        Deprecated: use `init_session`.
        """
        return await self._send(
            Request(
                "embedded.init_session_from_query",
                "GET",
                "/ui/initSession",
                query={
                    "project_id": project_id,
                    "timeout_in_seconds": timeout_in_seconds,
                    "theme": theme,
                    "theme_override": theme_override,
                },
                returns=EmbeddedSession,
                safety=Safety.SAFE,
            )
        )

    async def init_session(self, session: InitSessionRequest) -> EmbeddedSession:
        """Start a session. Open its URL in an iframe; it works once.

        [API page](https://docs.peaka.com/api-reference/embedded-peaka-api/init-session)
        """
        return await self._send(
            Request(
                "embedded.init_session",
                "POST",
                "/ui/initSession",
                body=session,
                returns=EmbeddedSession,
                safety=Safety.ONCE,
            )
        )
