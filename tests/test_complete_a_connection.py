"""The code of docs/how-to/complete-a-connection.md, unchanged, against a local Peaka with faults."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from peaka_async import (
    BadRequestError,
    ConnectionRequest,
    NotFoundError,
    Oauth2Callback,
    OAuth2Credential,
    RateLimitError,
    RetryPolicy,
)
from peaka_async.emulator import Fault, Moment

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "complete-a-connection.md").read_text()
(CODE,) = re.findall(r"^## 3\. Complete the connection\n.*?```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
CREDENTIAL = OAuth2Credential(client_id="app", client_secret="s3cret", redirect_url="https://app.example/cb")


@pytest.fixture
def complete(monkeypatch):
    """The function of the page, without its waits."""
    program = {}
    exec(compile(CODE, "complete-a-connection.md", "exec"), program)  # noqa: S102 - the page's own code

    async def at_once(_):
        await asyncio.get_running_loop().run_in_executor(None, int)

    monkeypatch.setitem(program, "asyncio", type("asyncio", (), {"sleep": staticmethod(at_once)}))
    return program["complete"]


@pytest.fixture
async def returned(peaka, emulator):
    """A connection after consent, and the return that completes it."""
    request = ConnectionRequest("crm", "hubspot", CREDENTIAL)
    pending = await peaka.connections.create(emulator.project_id, request)
    return pending, Oauth2Callback.from_redirect(await emulator.consent(pending.url))


def presented(emulator):
    return [code.presented for code in emulator.provider.codes.values()]


WORKED = {
    "lost answer": Fault.cut(Moment.AFTER_WORK),
    "502 after the work": Fault.bad_gateway(Moment.AFTER_WORK),
    "an answer that cannot be read": Fault.not_json(),
    "nothing": None,
}


@pytest.mark.parametrize("fault", WORKED.values(), ids=WORKED)
async def test_what_was_done_is_found(complete, peaka, emulator, returned, fault):
    """If Peaka has completed the connection, it is returned, even if the answer was lost; the code is posted once."""
    pending, callback = returned
    if fault is not None:
        emulator.faults.add("connections.oauth2_callback", fault)

    connection = await complete(peaka, emulator.project_id, pending, callback)

    assert (connection.id, connection.url) == (pending.id, None)
    assert presented(emulator) == [1]


@pytest.mark.parametrize("fault", [Fault.cut(Moment.BEFORE_WORK), Fault.bad_gateway()], ids=["cut", "502"])
async def test_a_connection_whose_url_is_still_there_is_not_complete(complete, peaka, emulator, returned, fault):
    """If Peaka has not used the code, it is not posted again: the customer has to start again."""
    pending, callback = returned
    emulator.faults.add("connections.oauth2_callback", fault)

    assert await complete(peaka, emulator.project_id, pending, callback, looks=3) is None
    assert presented(emulator) == [0]


async def test_a_connection_that_is_complete_at_the_second_look(complete, peaka, emulator, returned):
    """An answer can be lost while Peaka is still working."""
    pending, callback = returned
    emulator.faults.add("connections.oauth2_callback", Fault.bad_gateway())
    get, looks = peaka.connections.get, []

    async def work_goes_on(project_id, connection_id):
        looks.append(connection_id)
        if len(looks) == 2:
            await peaka.connections.oauth2_callback(project_id, callback)
        return await get(project_id, connection_id)

    peaka.connections.get = work_goes_on
    connection = await complete(peaka, emulator.project_id, pending, callback)

    assert (connection.url, len(looks)) == (None, 2)


async def test_what_never_left_may_be_delivered_again(complete, peaka, emulator, returned):
    """The error says so, and the same callback completes the connection later."""
    pending, callback = returned
    emulator.faults.add("connections.oauth2_callback", Fault.rate_limited(3600))
    single = peaka.with_options(retry=RetryPolicy(attempts=1))

    with pytest.raises(RateLimitError) as raised:
        await complete(single, emulator.project_id, pending, callback)

    assert (raised.value.outcome_unknown, raised.value.retry_after, presented(emulator)) == (False, 3600, [0])


async def test_a_wrong_return_is_told(complete, peaka, emulator, returned):
    """For a used or wrong code, the service's error is raised."""
    pending, callback = returned
    await complete(peaka, emulator.project_id, pending, callback)

    with pytest.raises((BadRequestError, NotFoundError)):
        await complete(peaka, emulator.project_id, pending, callback)
