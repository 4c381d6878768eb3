"""Caches, materialized queries, metadata refreshes and exports: long work, step by step."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

from peaka_async.emulator import Oddity

CUSTOMERS = "stripe.payment.customers"


async def status_of(local, cache):
    return await local.good("GET", f"{local.data}/cache/{cache['id']}/status")


async def test_a_first_sync_can_be_seen(local):
    """Fact: no record for about 300 ms, then RUNNING, then COMPLETED."""
    cache = await local.cache()
    states = []
    for seconds in (0, 0.4, 10):
        local.emulator.advance(seconds)
        states.append((await status_of(local, cache))["status"])

    assert states == ["NOT_INITIALIZED", "RUNNING", "COMPLETED"]


async def test_during_a_first_sync_there_are_no_rows(local):
    """Fact: 0 rows with 200; afterwards the cap is lifted; deleting brings it back."""
    cache = await local.cache()
    counts = [await local.count(CUSTOMERS)]
    local.emulator.advance(10)
    counts.append(await local.count(CUSTOMERS))
    await local.good("DELETE", f"{local.data}/cache/{cache['id']}")
    local.emulator.advance(10)
    counts.append(await local.count(CUSTOMERS))

    assert counts == [0, 505, 100]


@pytest.mark.parametrize(
    ("schedule", "slot"),
    [
        ({}, "lastFullRefreshCacheExecution"),
        ({"incrementalCacheSchedule": {"type": "BASIC", "expression": "PT6H"}}, "lastIncrementalCacheExecution"),
    ],
)
async def test_a_first_sync_fills_either_slot(local, schedule, slot):
    """Fact: which of the two depends on what was asked for; the other is null."""
    cache = await local.cache(**schedule)
    local.emulator.advance(10)
    status = await status_of(local, cache)
    slots = {"lastFullRefreshCacheExecution", "lastIncrementalCacheExecution"}

    assert status[slot]["progress"]["numberOfCachedRecords"] == 505
    assert [status[each] for each in slots - {slot}] == [None]


async def test_a_slot_keeps_its_old_record_until_the_next_has_begun(local):
    """Fact: remember its id before the trigger."""
    cache = await local.cache()
    local.emulator.advance(10)
    before = (await status_of(local, cache))["lastFullRefreshCacheExecution"]
    await local.good("POST", f"{local.data}/cache/{cache['id']}/fullRefreshUpdate")
    at_once = (await status_of(local, cache))["lastFullRefreshCacheExecution"]
    local.emulator.advance(0.4)
    begun = (await status_of(local, cache))["lastFullRefreshCacheExecution"]

    assert at_once == before
    assert begun["id"] != before["id"]


async def test_two_creates_at_once_are_both_200(local):
    """Fact: 200 and 200, one cache."""
    assert (await local.cache())["id"] == (await local.cache())["id"]


async def test_create_again_while_the_first_sync_runs_is_500(local):
    """Fact: harmless: it is syncing already."""
    cache = await local.cache()
    local.emulator.advance(0.4)
    body = {"catalogId": cache["catalogId"], "schemaName": "payment", "tableName": "customers"}
    status, _ = await local.call("POST", f"{local.data}/cache", body)
    local.emulator.advance(10)

    assert status == 500
    assert await local.count(CUSTOMERS) == 505


async def test_create_again_afterwards_gives_the_same_cache(local):
    """Fact: 200, get-or-create."""
    cache = await local.cache()
    local.emulator.advance(10)

    assert await local.cache() == cache


async def test_create_during_the_deletion_is_500(local):
    """Fact: the deletion takes a while."""
    cache = await local.cache()
    local.emulator.advance(10)
    await local.good("DELETE", f"{local.data}/cache/{cache['id']}")
    body = {"catalogId": cache["catalogId"], "schemaName": "payment", "tableName": "customers"}
    during, _ = await local.call("POST", f"{local.data}/cache", body)
    local.emulator.advance(10)

    assert during == 500
    assert (await local.cache())["id"] != cache["id"]


async def test_strictly_create_again_is_409(strict):
    """The document: a cache already exists."""
    cache = await strict.cache()
    body = {"catalogId": cache["catalogId"], "schemaName": "payment", "tableName": "customers"}

    assert (await strict.call("POST", f"{strict.data}/cache", body))[0] == 409


@pytest.mark.parametrize(("seconds", "expected"), [(0, 500), (0.4, 200), (10, 404)], ids=["at once", "running", "idle"])
async def test_cancelling_a_full_refresh(local, seconds, expected):
    """Fact: 500 within 300 ms of the trigger, 404 if nothing runs."""
    cache = await local.cache()
    local.emulator.advance(10)
    path = f"{local.data}/cache/{cache['id']}"
    await local.good("POST", f"{path}/fullRefreshUpdate")
    local.emulator.advance(seconds)

    assert (await local.call("POST", f"{path}/cancelFullRefreshUpdate"))[0] == expected


async def test_a_cancelled_run_keeps_the_rows(local):
    """CANCELLED, with two L; what was cached stays."""
    cache = await local.cache()
    local.emulator.advance(10)
    path = f"{local.data}/cache/{cache['id']}"
    await local.good("POST", f"{path}/fullRefreshUpdate")
    local.emulator.advance(0.4)
    await local.good("POST", f"{path}/cancelFullRefreshUpdate")

    assert (await status_of(local, cache))["status"] == "CANCELLED"
    assert await local.count(CUSTOMERS) == 505


@pytest.mark.parametrize("action", ["fullRefreshUpdate", "incrementalUpdate"])
async def test_a_refresh_of_an_unknown_cache_is_400(local, action):
    """Fact: the document says 404."""
    status, body = await local.call("POST", f"{local.data}/cache/nope/{action}")

    assert (status, body["error"], body["message"]) == (400, "WrongRequestException", "Cache settings not found")


async def test_statuses_by_schema_are_500_always(local):
    """Fact: filter the catalog's statuses instead."""
    cache = await local.cache()
    path = f"{local.data}/catalog/{cache['catalogId']}"

    assert (await local.call("GET", f"{path}/schema/payment/cache/status"))[0] == 500
    assert [each["id"] for each in await local.good("GET", f"{path}/cache/status")] == [cache["id"]]


async def test_a_malformed_schedule_is_ignored(local):
    """Fact: 200, and the old one stays."""
    schedule = {"type": "BASIC", "expression": "PT6H"}
    cache = await local.cache(incrementalCacheSchedule=schedule)
    bad = {"incrementalCacheSchedule": {"type": "BASIC", "expression": "6 hours"}}
    changed = await local.good("PUT", f"{local.data}/cache/{cache['id']}", bad)

    assert changed["incrementalCacheSchedule"] == schedule


async def test_an_update_replaces_both_schedules(local):
    """Fact: the one that is left out is switched off."""
    schedule = {"type": "BASIC", "expression": "PT6H"}
    cache = await local.cache(incrementalCacheSchedule=schedule)
    changed = await local.good("PUT", f"{local.data}/cache/{cache['id']}", {"fullRefreshCacheSchedule": schedule})

    assert (changed["incrementalCacheSchedule"], changed["fullRefreshCacheSchedule"]) == (None, schedule)


async def test_a_schedule_runs_by_itself(local):
    """Each interval has a run of its own."""
    cache = await local.cache(incrementalCacheSchedule={"type": "BASIC", "expression": "PT6H"})
    local.emulator.advance(13 * 3600)
    runs = await local.good("GET", f"{local.data}/cache/{cache['id']}/executionHistory")

    assert [each["executionMode"] for each in runs] == ["INCREMENTAL"] * 3


@pytest.mark.parametrize(
    ("catalog", "schema", "table", "code"),
    [
        ("postgres", "public", "orders", "TABLE_NOT_CACHEABLE"),
        ("stripe", "payment", "nope", None),
        ("peaka", "bitable", "events", None),
    ],
)
async def test_what_cannot_be_cached(local, catalog, schema, table, code):
    """Fact: TABLE_NOT_CACHEABLE; of an internal table "cannot find table or properties" without a code."""
    body = {"catalogId": local.catalog(catalog), "schemaName": schema, "tableName": table}
    status, answer = await local.call("POST", f"{local.data}/cache", body)

    assert (status, answer["errorCode"]) == (400, code)


async def test_an_incremental_sync_that_removes_rows_says_0(local):
    """Fact: rows go, and `numberOfDeletedRecords` stays 0."""
    cache = await local.cache()
    local.emulator.advance(10)
    local.emulator.set_row_count("stripe", "payment", "customers", 500)
    before = await local.count(CUSTOMERS)
    await local.good("POST", f"{local.data}/cache/{cache['id']}/incrementalUpdate")
    local.emulator.advance(10)
    progress = (await status_of(local, cache))["lastIncrementalCacheExecution"]["progress"]

    assert (before, await local.count(CUSTOMERS)) == (505, 500)
    assert progress["numberOfDeletedRecords"] == 0


async def test_new_rows_of_a_source_come_with_a_sync(local):
    """Until then the cache has the rows of the sync before."""
    cache = await local.cache()
    local.emulator.advance(10)
    local.emulator.set_row_count("stripe", "payment", "customers", 510)
    before = await local.count(CUSTOMERS)
    await local.good("POST", f"{local.data}/cache/{cache['id']}/incrementalUpdate")
    local.emulator.advance(10)

    assert (before, await local.count(CUSTOMERS)) == (505, 510)


async def test_a_job_can_hang(local):
    """Fact: RUNNING with updatedAt == createdAt."""
    local.emulator.oddities.add(Oddity.CACHE_HANGS)
    cache = await local.cache()
    local.emulator.advance(86_400)
    run = (await status_of(local, cache))["lastFullRefreshCacheExecution"]

    assert (run["status"], run["updatedAt"]) == ("RUNNING", run["createdAt"])


async def test_a_job_can_fail(local):
    """With a reason in an object."""
    local.emulator.oddities.add(Oddity.CACHE_FAILS)
    cache = await local.cache()
    local.emulator.advance(10)
    run = (await status_of(local, cache))["lastFullRefreshCacheExecution"]

    assert (run["status"], run["error"]) == ("FAILED", {"message": "The source did not answer"})


async def test_a_batch_answers_one_entry_each(local):
    """Fact: with success or error."""
    of = {"catalogId": local.catalog("stripe"), "schemaName": "payment"}
    bodies = [{**of, "tableName": "customers"}, {**of, "tableName": "nope"}]
    good, bad = await local.good("POST", f"{local.data}/cache/batch", bodies)

    assert (good["success"], good["error"], good["cache"]["tableName"]) == (True, None, "customers")
    assert (bad["success"], bad["error"]["message"]) == (False, "cannot find table or properties")


async def test_history_is_paged(local):
    """The newest first; 10 unless told otherwise; 14 days."""
    cache = await local.cache(incrementalCacheSchedule={"type": "BASIC", "expression": "PT1H"})
    local.emulator.advance(12 * 3600 + 60)
    path = f"{local.data}/cache/{cache['id']}/executionHistory"
    first = await local.good("GET", path)
    rest = await local.good("GET", f"{path}?limit=10&offset=10")

    assert (len(first), len(rest)) == (10, 3)
    assert first[0]["createdAt"] > first[-1]["createdAt"] > rest[-1]["createdAt"]


async def test_logs_can_be_left_out(local):
    """`excludeLogs`."""
    cache = await local.cache()
    path = f"{local.data}/cache/{cache['id']}/status"

    assert (await local.good("GET", path))["cacheActionLogs"]
    assert (await local.good("GET", f"{path}?excludeLogs=true"))["cacheActionLogs"] is None


async def materialized(local, sql, **more):
    return await local.query(sql, "Kept", queryType="MATERIALIZED", **more)


async def refresh_status(local, query):
    return await local.good("GET", f"{local.data}/materialized-queries/{query['id']}/status")


async def test_a_materialized_query_that_never_ran_is_completed(local):
    """Fact: COMPLETED with a null start time."""
    status = await refresh_status(local, await materialized(local, f"SELECT * FROM {CUSTOMERS}"))

    assert (status["status"], status["lastExecutionStartTime"]) == ("COMPLETED", None)


async def test_a_refresh_shows_the_old_state_until_it_begins(local):
    """Fact: 200 empty, then RUNNING with a new start time, then COMPLETED."""
    query = await materialized(local, f"SELECT * FROM {CUSTOMERS}")
    answer = await local.call("POST", f"{local.data}/materialized-queries/{query['id']}/refresh")
    seen = [await refresh_status(local, query)]
    for seconds in (0.2, 10):
        local.emulator.advance(seconds)
        seen.append(await refresh_status(local, query))

    assert answer == (200, None)
    assert [each["status"] for each in seen] == ["COMPLETED", "RUNNING", "COMPLETED"]
    assert seen[0]["lastExecutionStartTime"] is None
    assert seen[1]["lastExecutionStartTime"] == seen[2]["lastExecutionStartTime"] is not None


async def test_a_materialized_query_keeps_100_rows_of_a_capped_table(local):
    """Fact: a snapshot; over a table in its first sync 0 rows."""
    await materialized(local, f"SELECT * FROM {CUSTOMERS}")
    await local.cache("charges")
    await local.query("SELECT * FROM stripe.payment.charges", "Empty", queryType="MATERIALIZED")

    assert await local.count("peaka.mtquery.kept") == 100
    assert await local.count("peaka.mtquery.empty") == 0


async def test_a_snapshot_changes_with_a_refresh_only(local):
    """Fact: a snapshot over other catalogs."""
    query = await materialized(local, "SELECT * FROM stripe.payment.refunds")
    local.emulator.set_row_count("stripe", "payment", "refunds", 90)
    before = await local.count("peaka.mtquery.kept")
    await local.good("POST", f"{local.data}/materialized-queries/{query['id']}/refresh")
    local.emulator.advance(10)

    assert (before, await local.count("peaka.mtquery.kept")) == (85, 90)


async def test_over_internal_tables_it_is_live(local):
    """Fact: new rows are there without a refresh."""
    await local.good("POST", f"{local.data}/table/people")
    await materialized(local, "SELECT * FROM peaka.table.people")
    before = await local.count("peaka.mtquery.kept")
    project = local.emulator.state.projects[local.emulator.project_id]
    table = project.catalogs["1"].schemas["table"]["people"]
    table.rows, table.version = [[None] * 8], 1

    assert (before, await local.count("peaka.mtquery.kept")) == (0, 1)


async def test_a_reference_copies_the_sql(local):
    """Fact: later changes of the other query do not matter."""
    source = await local.query("SELECT 1 AS one", "Source")
    body = {"displayName": "Kept", "queryType": "MATERIALIZED", "inputQueryRefId": source["id"]}
    made = await local.good("POST", f"{local.data}/queries", body)
    await local.good("PUT", f"{local.data}/queries/{source['id']}", {"inputQuery": "SELECT 2 AS two"})

    assert (await local.good("GET", f"{local.data}/queries/{made['id']}"))["inputQuery"] == "SELECT 1 AS one"


async def test_cancelling_what_does_not_run_is_200(local):
    """Fact: idle cancel 200; a running one becomes CANCELED, with one L."""
    query = await materialized(local, f"SELECT * FROM {CUSTOMERS}")
    path = f"{local.data}/materialized-queries/{query['id']}"
    idle = await local.call("POST", f"{path}/cancel")
    await local.good("POST", f"{path}/refresh")
    local.emulator.advance(0.2)
    await local.good("POST", f"{path}/cancel")
    local.emulator.advance(10)

    assert idle == (200, None)
    assert (await refresh_status(local, query))["status"] == "CANCELED"


async def test_an_interval_refreshes_by_itself(local):
    """Schedules are interval, cron or none."""
    query = await materialized(
        local, "SELECT * FROM stripe.payment.refunds", schedule={"type": "interval", "repeatDuration": "PT6H"}
    )
    local.emulator.set_row_count("stripe", "payment", "refunds", 90)
    local.emulator.advance(6 * 3600 + 10)
    status = await refresh_status(local, query)

    assert status["scheduleSettings"]["repeatDuration"] == "PT6H"
    assert status["nextExecutionStartTime"] > status["lastExecutionStartTime"]
    assert await local.count("peaka.mtquery.kept") == 90


@pytest.mark.parametrize(("oddity", "state"), [(Oddity.REFRESH_HANGS, "RUNNING"), (Oddity.REFRESH_FAILS, "FAILED")])
async def test_a_refresh_can_hang_or_fail(local, oddity, state):
    """Switched on."""
    local.emulator.oddities.add(oddity)
    query = await materialized(local, f"SELECT * FROM {CUSTOMERS}")
    await local.good("POST", f"{local.data}/materialized-queries/{query['id']}/refresh")
    local.emulator.advance(86_400)

    assert (await refresh_status(local, query))["status"] == state


async def test_metadata_states_are_in_kebab_case(local):
    """Fact: `not-active`, `waiting`, `active`, `completed`; the lists are never empty meanwhile."""
    stripe = local.catalog("stripe")
    states = [(await local.good("GET", f"/metadata/{{p}}/refresh/{stripe}"))["status"]]
    await local.good("POST", "/metadata/{p}/refresh", {"catalogId": stripe})
    for seconds in (0, 0.2, 10):
        local.emulator.advance(seconds)
        states.append((await local.good("GET", f"/metadata/{{p}}/refresh/{stripe}"))["status"])
        assert (await local.good("GET", f"/metadata/{{p}}?catalogId={stripe}"))["metadata"]

    assert states == ["not-active", "waiting", "active", "completed"]


async def test_strictly_they_are_in_upper_case(strict):
    """The document: an enum."""
    path = f"/metadata/{{p}}/refresh/{strict.catalog('stripe')}"

    assert await strict.good("GET", path) == {"status": "NOT_ACTIVE"}


async def test_a_metadata_refresh_can_be_stuck(local):
    """Switched on."""
    local.emulator.oddities.add(Oddity.METADATA_STUCK)
    stripe = local.catalog("stripe")
    await local.good("POST", "/metadata/{p}/refresh", {"catalogId": stripe})
    local.emulator.advance(10)

    assert (await local.good("GET", f"/metadata/{{p}}/refresh/{stripe}"))["status"] == "stuck"


async def export(local, sql, **request):
    query = await local.query(sql, "Export")
    started = await local.call("POST", f"{local.data}/queries/{query['id']}/exports", request)
    local.emulator.advance(10)
    return started, await local.good("GET", f"{local.data}/exports/{started[1]['id']}")


async def download(local, file, **headers):
    async with local.session.get(file["url"], headers=headers) as answer:
        return answer.status, await answer.read()


async def test_an_export_goes_through_its_states(local):
    """Fact: 202, then QUEUED, RUNNING, SUCCEEDED with `rowCount` a number."""
    query = await local.query(f"SELECT id FROM {CUSTOMERS}")
    status, job = await local.call("POST", f"{local.data}/queries/{query['id']}/exports", {"format": "CSV"})
    states = []
    for seconds in (0, 0.2, 10):
        local.emulator.advance(seconds)
        shown = await local.good("GET", f"{local.data}/exports/{job['id']}")
        states.append(shown["status"])

    assert (status, states) == (202, ["QUEUED", "RUNNING", "SUCCEEDED"])
    assert shown["rowCount"] == 100


async def test_files_lie_on_another_host(local):
    """Fact: behind links; a request with the API's key is refused there."""
    _, job = await export(local, "SELECT id FROM stripe.payment.refunds")
    (file,) = job["files"]
    status, content = await download(local, file)
    refused, _ = await download(local, file, Authorization=f"Bearer {local.emulator.api_key}")

    assert not file["url"].startswith(local.emulator.origin)
    assert (status, refused, len(content)) == (200, 400, file["bytes"])
    assert list(csv.reader(io.StringIO(content.decode())))[:2] == [["id"], ["re_00000000000001"]]


async def test_a_link_expires_and_is_given_anew(local):
    """Fact: read the job again for fresh ones."""
    _, job = await export(local, "SELECT id FROM stripe.payment.refunds")
    local.emulator.advance(901)
    expired, _ = await download(local, job["files"][0])
    again = await local.good("GET", f"{local.data}/exports/{job['id']}")

    assert (expired, (await download(local, again["files"][0]))[0]) == (403, 200)


async def test_a_changed_link_is_refused(local):
    """The signature covers file and time."""
    _, job = await export(local, "SELECT id FROM stripe.payment.refunds")
    (file,) = job["files"]

    assert (await download(local, {"url": file["url"].replace("part-0000", "part-0001")}))[0] == 403


async def test_a_part_of_a_file_can_be_asked_for(local):
    """Ranges, as object storage has them."""
    _, job = await export(local, "SELECT id FROM stripe.payment.refunds")
    status, part = await download(local, job["files"][0], Range="bytes=3-4")

    assert (status, part) == (206, b"re")


async def test_an_export_has_several_files(local):
    """Fact: several; their rows are all rows, once."""
    _, job = await export(local, "SELECT id FROM postgres.public.orders", format="JSONL", compression="GZIP")
    rows = []
    for file in job["files"]:
        _, content = await download(local, file)
        rows += [json.loads(line)["id"] for line in gzip.decompress(content).splitlines()]

    assert ([each["name"] for each in job["files"]], len(rows)) == (
        ["part-0000.jsonl.gz", "part-0001.jsonl.gz", "part-0002.jsonl.gz"],
        25_000,
    )
    assert len(set(rows)) == 25_000


async def test_an_empty_source_fails(local):
    """Fact: "produced no files"."""
    _, job = await export(local, "SELECT id FROM stripe.payment.transfers")

    assert (job["status"], job["error"]) == ("FAILED", "The export produced no files")


async def test_the_form_of_a_csv_file(local):
    """Delimiter, header and the text of NULL."""
    options = {"delimiter": ";", "includeHeader": False, "nullValue": "-"}
    _, job = await export(local, "SELECT 1, NULL", csvOptions=options)

    assert (await download(local, job["files"][0]))[1] == b"1;-\n"


async def test_a_limit_and_columns(local):
    """As many rows, of these columns."""
    _, job = await export(local, f"SELECT * FROM {CUSTOMERS}", columns=["name"], limit=1)

    assert (await download(local, job["files"][0]))[1] == b"name\nCustomer 1\n"


async def test_the_export_of_a_table_carries_system_columns(local):
    """Fact: also without `includeSystemColumns`."""
    path = f"{local.data}/catalogs/1/schemas/bitable/tables/events/exports"
    job = await local.good("POST", path, {"format": "CSV"})
    local.emulator.advance(10)
    (file,) = (await local.good("GET", f"{local.data}/exports/{job['id']}"))["files"]

    assert (await download(local, file))[1].startswith(b"_operation,_id,")


async def test_a_cancel_is_idempotent(local):
    """Fact: 204, again and again; one that has ended stays as it is."""
    query = await local.query("SELECT 1 AS one")
    job = await local.good("POST", f"{local.data}/queries/{query['id']}/exports", {})
    path = f"{local.data}/exports/{job['id']}"
    first, second = [await local.call("DELETE", path) for _ in range(2)]
    local.emulator.advance(10)

    assert first == second == (204, None)
    assert (await local.good("GET", path))["status"] == "CANCELLED"


async def test_only_who_began_an_export_can_download_it(local):
    """Others see it without its files."""
    _, job = await export(local, "SELECT 1 AS one")
    seen = await local.good("GET", f"{local.data}/exports/{job['id']}", key=local.emulator.project_key)

    assert (seen["downloadable"], "files" in seen) == (False, False)


async def test_exports_are_listed_without_files(local):
    """The newest first, by state and by time."""
    _, one = await export(local, "SELECT 1 AS one")
    _, two = await export(local, "SELECT 2 AS two")
    listed = await local.good("GET", f"{local.data}/exports?status=SUCCEEDED")
    older = await local.good("GET", f"{local.data}/exports?createdBefore={two['createdAt']}")

    assert [each["id"] for each in listed] == [two["id"], one["id"]]
    assert [each["id"] for each in older] == [one["id"]]
    assert not any("files" in each for each in listed)


async def test_files_are_removed_after_a_while(local):
    """EXPIRED."""
    _, job = await export(local, "SELECT 1 AS one")
    local.emulator.advance(2 * 86_400)

    assert (await local.good("GET", f"{local.data}/exports/{job['id']}"))["status"] == "EXPIRED"


@pytest.mark.parametrize(("oddity", "state"), [(Oddity.EXPORT_HANGS, "RUNNING"), (Oddity.EXPORT_FAILS, "FAILED")])
async def test_an_export_can_hang_or_fail(local, oddity, state):
    """Switched on."""
    local.emulator.oddities.add(oddity)
    _, job = await export(local, "SELECT 1 AS one")

    assert job["status"] == state


async def test_links_can_be_expired_when_they_are_given_out(local):
    """Switched on, and off again."""
    local.emulator.oddities.add(Oddity.LINKS_EXPIRED)
    _, job = await export(local, "SELECT 1 AS one")
    expired, _ = await download(local, job["files"][0])

    assert expired == 403
