"""A local Peaka whose time is stopped, and a plain HTTP client for it."""

from __future__ import annotations

import aiohttp
import pytest
from yarl import URL

from peaka_async.emulator import Emulator


class Local:
    """Calls the API; an answer is its status and its JSON."""

    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        self.session, self.emulator = session, emulator
        self.data = f"/data/projects/{emulator.project_id}"

    async def call(self, method, path, body=None, *, key=None, **options):
        headers = {"Authorization": f"Bearer {key or self.emulator.api_key}", **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        url = URL(self.emulator.base_url + path.replace("{p}", self.emulator.project_id), encoded=True)
        async with self.session.request(method, url, headers=headers, **options) as answer:
            content = await answer.read()
            if not content:
                return answer.status, None
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else content.decode()

    async def good(self, method, path, body=None, **options):
        """The JSON of a call that must succeed."""
        status, answer = await self.call(method, path, body, **options)
        assert status in {200, 201, 202, 204}, answer
        return answer

    async def execute(self, body, form="COMPACT"):
        return await self.call("POST", f"{self.data}/queries/execute?format={form}", body)

    async def rows(self, sql):
        status, answer = await self.execute({"statement": sql})
        assert status == 200, answer
        return answer["data"]

    async def count(self, table):
        return int((await self.rows(f"SELECT COUNT(*) FROM {table}"))[0][0])

    def catalog(self, name, number=0):
        catalogs = self.emulator.state.projects[self.emulator.project_id].catalogs.values()
        return [each.id for each in catalogs if each.name == name][number]

    async def cache(self, table="customers", **more):
        body = {"catalogId": self.catalog("stripe"), "schemaName": "payment", "tableName": table, **more}
        return await self.good("POST", f"{self.data}/cache", body)

    async def query(self, sql, name="Q", **more):
        body = {"displayName": name, "inputQuery": sql, **more}
        return await self.good("POST", f"{self.data}/queries", body)


@pytest.fixture
async def local():
    async with Emulator(manual_time=True) as emulator, aiohttp.ClientSession() as session:
        yield Local(session, emulator)


@pytest.fixture
async def strict():
    async with Emulator(manual_time=True, strict=True) as emulator, aiohttp.ClientSession() as session:
        yield Local(session, emulator)
