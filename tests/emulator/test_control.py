"""The control endpoint: faults, oddities, time and the received requests, from another process."""

from __future__ import annotations

import aiohttp
import pytest

from peaka_async.emulator import Emulator, Oddity


class Control:
    def __init__(self, session, emulator):
        self.session, self.emulator = session, emulator

    async def call(self, method, path, body=None, **options):
        url = f"{self.emulator.origin}/control/{path}"
        async with self.session.request(method, url, json=body, **options) as answer:
            return answer.status, await answer.json(content_type=None)

    async def info(self):
        headers = {"Authorization": f"Bearer {self.emulator.api_key}"}
        async with self.session.get(f"{self.emulator.base_url}/info", headers=headers) as answer:
            return answer.status


@pytest.fixture
async def control():
    async with Emulator(control=True, manual_time=True) as emulator, aiohttp.ClientSession() as session:
        yield Control(session, emulator)


async def test_it_is_off_by_default(emulator, api):
    """The control endpoint exists only if the emulator was started with it."""
    async with api.session.post(f"{emulator.origin}/control/advance", json={"seconds": 1}) as answer:
        assert answer.status == 404


async def test_faults_are_queued_and_cleared(control):
    """Faults are given by the names of their methods, with arguments."""
    faults = [{"fault": "unavailable", "retry_after": 3, "moment": "AFTER_WORK"}]
    queued = await control.call("POST", "faults", {"operation": "info", "faults": faults, "times": 2})
    statuses = [await control.info()]
    await control.call("DELETE", "faults")
    statuses.append(await control.info())

    assert queued == (200, {"faults": ["answer 503"]})
    assert statuses == [503, 200]


@pytest.mark.parametrize(
    "body",
    [
        {"operation": "nope", "faults": [{"fault": "cut"}]},
        {"operation": "info", "faults": [{"fault": "nope"}]},
        {"operation": "info", "faults": [{"fault": "cut", "moment": "NEVER"}]},
        {"operation": "info", "faults": [{"fault": "slow", "minutes": 1}]},
        {"faults": []},
    ],
)
async def test_a_fault_that_is_none_is_400(control, body):
    """The message says what is wrong, and nothing is queued."""
    status, answer = await control.call("POST", "faults", body)

    assert (status, await control.info()) == (400, 200)
    assert answer["message"]


async def test_oddities_are_switched_on_and_off(control):
    """Oddities are set by name; others do not change."""
    await control.call("POST", "oddities", {"CACHE_HANGS": True, "EXPORT_HANGS": True})
    answer = await control.call("POST", "oddities", {"CACHE_HANGS": False})
    wrong, _ = await control.call("POST", "oddities", {"NOPE": True})

    assert answer == (200, {"oddities": ["EXPORT_HANGS"]})
    assert control.emulator.oddities == {Oddity.EXPORT_HANGS}
    assert wrong == 400


async def test_time_is_advanced(control):
    """Time only goes forward."""
    before = control.emulator._clock.now()
    done = await control.call("POST", "advance", {"seconds": 90.5})

    assert done == (200, {})
    assert (control.emulator._clock.now() - before).total_seconds() == 90.5
    assert [(await control.call("POST", "advance", {"seconds": each}))[0] for each in (-1, "1", True)] == [400] * 3


async def test_the_ledger_holds_no_secret(control):
    """Operations, paths and faults; no query, header or body."""
    await control.call("POST", "faults", {"operation": "info", "faults": [{"fault": "answer", "status": 418}]})
    await control.info()
    status, received = await control.call("GET", "received?operation=info")

    assert status == 200
    assert [(each["operation"], each["path"], each["fault"]) for each in received] == [
        ("info", "/api/v1/info", "answer 418")
    ]
    assert control.emulator.api_key not in str(received)


async def test_how_often_a_code_was_presented(control):
    """Tests of task workers can ask how often a code was presented."""
    code = control.emulator.provider._issue("app", "https://app.example/done")
    status, codes = await control.call("GET", "codes")

    assert (status, codes) == (200, [{"code": code.value, "presented": 0, "exchanged": False}])


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
async def test_a_page_in_a_browser_is_refused(control, headers):
    """Pages of other origins, and other host names for this address, are refused."""
    assert (await control.call("GET", "codes", headers=headers))[0] == 403


async def test_a_form_is_refused(control):
    """A body must be JSON, which a form cannot send."""
    async with control.session.post(f"{control.emulator.origin}/control/advance", data={"seconds": "1"}) as answer:
        assert answer.status == 415
