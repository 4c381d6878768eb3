"""Uses of the public names, for type checkers. It is checked, but never run."""

from __future__ import annotations

from typing import assert_type

from peaka_async import (
    Attempt,
    Connection,
    ConnectionConfiguration,
    ConnectionRequest,
    Decision,
    NotFoundError,
    Oauth2Callback,
    PeakaClient,
    PeakaError,
    RawResponse,
    Request,
    RetryPolicy,
    Safety,
    Timeouts,
)


async def key() -> str:
    return "key"


async def calls(callback: Oauth2Callback) -> None:
    async with PeakaClient(key, zone="eu", timeout=Timeouts(total=5), retry=RetryPolicy(attempts=1)) as peaka:
        assert_type(peaka, PeakaClient)
        assert_type(await peaka.connections.oauth2_callback("p", callback), Connection)
        assert_type(await peaka.connections.list("p"), list[Connection])
        assert_type(await peaka.connections.list_configs(), list[ConnectionConfiguration])
        assert_type(await peaka.connections.create("p", ConnectionRequest("n", "t", {})), Connection)
        await peaka.connections.delete("p", "c")
        assert_type(await peaka.connections.get_view("p", "c"), dict[str, object])
        assert_type(
            await peaka.with_raw_response(peaka.connections.oauth2_callback, "p", callback), RawResponse[Connection]
        )
        assert_type(await peaka.request("GET", "/info"), object)
        assert_type(peaka.with_options(timeout=3), PeakaClient)
        await peaka.with_raw_response(peaka.connections.oauth2_callback, "p")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def values(callback: Oauth2Callback, error: NotFoundError) -> None:
    assert_type(Oauth2Callback.from_redirect(b"code=1"), Oauth2Callback)
    assert_type(callback.code, str | None)
    assert_type(error.error_code, int | str | None)
    assert_type(error.attempts, tuple[Attempt, ...])


def decisions(request: Request[object], failure: PeakaError) -> None:
    assert_type(RetryPolicy().explain(request, failure), Decision)
    assert_type(request.safety, Safety)
