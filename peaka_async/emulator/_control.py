"""The control endpoint: faults, time and the received requests, for tests that run in another process."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from peaka_async.emulator._clock import iso
from peaka_async.emulator._faults import Fault, Moment
from peaka_async.emulator._operation import Refusal, objects, optional_number, optional_object, text
from peaka_async.emulator._world import Oddity
from peaka_async.errors import ConfigurationError

if TYPE_CHECKING:
    from peaka_async.emulator._server import Emulator

PATH = "/control"

_FAULTS: dict[str, Callable[..., Fault]] = {
    "answer": Fault.answer,
    "bad_gateway": Fault.bad_gateway,
    "cut": Fault.cut,
    "drip": Fault.drip,
    "not_json": Fault.not_json,
    "oversize": Fault.oversize,
    "rate_limited": Fault.rate_limited,
    "redirect": Fault.redirect,
    "reset": Fault.reset,
    "silence": Fault.silence,
    "slow": Fault.slow,
    "truncated": Fault.truncated,
    "unavailable": Fault.unavailable,
}
_Handler = Callable[[web.Request], Awaitable[web.Response]]


class Control:
    """Lets another process on this machine set faults and time, and read the received requests.

    It does not answer pages in a browser: a body must be JSON, and the host must be a loopback address.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"{PATH}/faults", self._guarded(self._add_faults)),
            web.delete(f"{PATH}/faults", self._guarded(self._clear_faults)),
            web.post(f"{PATH}/oddities", self._guarded(self._set_oddities)),
            web.post(f"{PATH}/advance", self._guarded(self._advance)),
            web.get(f"{PATH}/received", self._guarded(self._received), allow_head=False),
            web.get(f"{PATH}/codes", self._guarded(self._codes), allow_head=False),
        ]

    def _guarded(self, work: Callable[[web.Request], Awaitable[object]]) -> _Handler:
        async def serve(request: web.Request) -> web.Response:
            try:
                _check_sender(request)
                return web.json_response(await work(request))
            except Refusal as refusal:
                return web.json_response(refusal.body, status=refusal.status)
            except ConfigurationError as error:
                return web.json_response({"message": str(error)}, status=400)

        return serve

    async def _add_faults(self, request: web.Request) -> object:
        """`{"operation": "queries.execute", "faults": [{"fault": "slow", "seconds": 2}], "times": 3}`."""
        body = await _object(request)
        faults = [_fault(each) for each in objects(body, "faults")]
        times = optional_number(body, "times")
        self._emulator.faults.add(text(body, "operation"), *faults, times=1 if times is None else times)
        return {"faults": [fault.kind for fault in faults]}

    async def _clear_faults(self, _: web.Request) -> object:
        self._emulator.faults.clear()
        return {}

    async def _set_oddities(self, request: web.Request) -> object:
        """`{"CACHE_HANGS": true}`; oddities that are not named do not change."""
        for name, on in (await _object(request)).items():
            if name not in Oddity.__members__ or not isinstance(on, bool):
                raise Refusal(400, message=f"There is no oddity {name!r}, or its value is not true or false")
            (self._emulator.oddities.add if on else self._emulator.oddities.discard)(Oddity[name])
        return {"oddities": sorted(each.name for each in self._emulator.oddities)}

    async def _advance(self, request: web.Request) -> object:
        seconds = (await _object(request)).get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise Refusal(400, message="'seconds' has to be a number")
        self._emulator.advance(seconds)
        return {}

    async def _received(self, request: web.Request) -> object:
        """The requests that reached the API, without headers and bodies, which hold secrets."""
        return [
            {
                "operation": each.operation,
                "method": each.method,
                "path": each.target.partition("?")[0],
                "at": iso(each.at),
                "fault": None if each.fault is None else each.fault.kind,
            }
            for each in self._emulator.received(request.query.get("operation"))
        ]

    async def _codes(self, _: web.Request) -> object:
        """The authorization codes of the emulator's own provider, and how often each was presented."""
        return [
            {"code": each.value, "presented": each.presented, "exchanged": each.grant is not None}
            for each in self._emulator.codes
        ]


def _check_sender(request: web.Request) -> None:
    host = request.url.host or ""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback or "Origin" in request.headers:
        raise Refusal(403, message="The control endpoint is for programs on this machine")


async def _object(request: web.Request) -> dict[str, object]:
    if request.content_type != "application/json":
        raise Refusal(415, message="The body has to be JSON")
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, message="The body has to be a JSON object")
    return body


def _fault(described: dict[str, object]) -> Fault:
    """Make a fault from the name of its method and the method's arguments."""
    name = text(described, "fault")
    options = {key: value for key, value in described.items() if key != "fault"}
    moment = options.get("moment")
    if name not in _FAULTS or not (moment is None or moment in Moment.__members__):
        raise Refusal(400, message=f"There is no fault {name!r}, or no moment {moment!r}")
    if isinstance(moment, str):
        options["moment"] = Moment[moment]
    if isinstance(options.get("body"), str):
        options["body"] = text(options, "body").encode()
    optional_object(options, "headers")
    try:
        return _FAULTS[name](**options)
    except TypeError:
        raise Refusal(400, message=f"The fault {name!r} does not take {sorted(described)}") from None
