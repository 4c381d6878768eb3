"""Organizations, workspaces, projects, API keys, drivers and sessions: what the service does."""

from __future__ import annotations

import pytest

PARTNER_ONLY = ["/organizations", "/projects", "/projects/{p}", "/projects/{p}/apiKeys"]


async def organization(local):
    return (await local.good("GET", "/organizations"))[0]["id"]


async def test_organizations_are_a_bare_array(local):
    """Fact: lists that the document has as one object are arrays."""
    assert [each["name"] for each in await local.good("GET", "/organizations")] == ["Emulated organization"]


async def test_an_organization_has_no_icon(local):
    """Fact: `iconFileId` is null, where the document has no null."""
    assert (await local.good("GET", f"/organizations/{await organization(local)}"))["iconFileId"] is None


async def test_in_strict_mode_a_list_is_one_object(strict):
    """The document: `listOrganizations` answers one object, without nulls."""
    answer = await strict.good("GET", "/organizations")

    assert answer["name"] == "Emulated organization"
    assert "iconFileId" not in answer


@pytest.mark.parametrize("path", PARTNER_ONLY)
async def test_a_project_key_gets_403(local, path):
    """Fact: organizations, workspaces, projects and API keys need a Partner key."""
    status, body = await local.call("GET", path, key=local.emulator.project_key)

    assert (status, set(body)) == (403, {"code", "message"})


async def test_an_unknown_organization_is_404(local):
    """An id that does not exist, and a workspace of another organization."""
    known = await organization(local)

    assert (await local.call("GET", "/organizations/nope"))[0] == 404
    assert (await local.call("GET", f"/organizations/{known}/workspaces/nope"))[0] == 404


async def test_a_workspace_lives(local):
    """Created, listed, renamed, deleted; the default one cannot be deleted."""
    path = f"/organizations/{await organization(local)}/workspaces"
    (default,) = await local.good("GET", path)
    made = await local.good("POST", path, {"name": "Team"})
    changed = await local.good("PUT", f"{path}/{made['id']}", {"description": "Theirs"})
    await local.good("DELETE", f"{path}/{made['id']}")

    assert (changed["name"], changed["description"], changed["defaultWorkspace"]) == ("Team", "Theirs", False)
    assert (await local.call("DELETE", f"{path}/{default['id']}"))[0] == 400
    assert [each["id"] for each in await local.good("GET", path)] == [default["id"]]


async def test_a_workspace_takes_its_projects_with_it(local):
    """A project cannot be reached once its workspace is deleted."""
    path = f"/organizations/{await organization(local)}/workspaces"
    workspace = await local.good("POST", path, {"name": "Team"})
    project = await local.good("POST", f"{path}/{workspace['id']}/projects", {"name": "Theirs"})
    await local.good("DELETE", f"{path}/{workspace['id']}")

    assert (await local.call("GET", f"/projects/{project['id']}"))[0] == 404


async def test_a_project_has_undeclared_nulls(local):
    """Fact: `description` and `webhookBaseUrl` of a project are null without a value."""
    project = await local.good("POST", "/projects", {"name": "New"})

    assert (project["description"], project["webhookBaseUrl"]) == (None, None)


async def test_a_new_project_has_the_built_in_catalogs(local):
    """Fact: catalog 1 holds internal tables, catalog 2 saved queries."""
    project = await local.good("POST", "/projects", {"name": "New"})
    catalogs = await local.good("GET", f"/data/projects/{project['id']}/catalogs")

    assert [(each["id"], each["name"], each["catalogType"]) for each in catalogs] == [
        ("1", "peaka", "internal"),
        ("2", "peaka", "query"),
    ]


async def test_a_deleted_project_is_gone_with_its_connections(local):
    """Everything in it goes."""
    await local.good("DELETE", "/projects/{p}")

    assert (await local.call("GET", "/connections/{p}"))[0] == 404
    assert local.emulator.state.connections == {}


async def test_a_keys_secret_is_shown_once(local):
    """Fact: create answers the secret, lists carry null."""
    made = await local.good("POST", "/projects/{p}/apiKeys", {"name": "ci"})
    listed = await local.good("GET", "/projects/{p}/apiKeys")

    assert made["apiKey"]
    assert [each["apiKey"] for each in listed] == [None, None]


async def test_a_new_key_works_until_it_is_deleted(local):
    """It reaches its project, and 401 afterwards."""
    made = await local.good("POST", "/projects/{p}/apiKeys", {"name": "ci"})
    before = await local.call("GET", "/info", key=made["apiKey"])
    await local.good("DELETE", f"/projects/{{p}}/apiKeys/{made['apiKeyId']}")
    after, _ = await local.call("GET", "/info", key=made["apiKey"])

    assert (before[0], before[1]["projectId"], after) == (200, local.emulator.project_id, 401)


async def test_a_key_expires_by_the_emulators_clock(local):
    """`expiresAt` is when it stops working."""
    soon = f"{local.emulator._clock.now():%Y-%m-%dT%H:%M:%S.%fZ}"
    key = (await local.good("POST", "/projects/{p}/apiKeys", {"name": "ci", "expiresAt": soon}))["apiKey"]
    status, _ = await local.call("GET", "/info", key=key)

    assert status == 401


async def test_info_names_the_project_of_a_project_key(local):
    """Fact: `/info` has `projectId` for Project keys alone."""
    partner = await local.good("GET", "/info")
    project = await local.good("GET", "/info", key=local.emulator.project_key)

    assert "projectId" not in partner
    assert project["projectId"] == local.emulator.project_id


async def test_a_drivers_string_holds_the_key(local):
    """Fact: connection strings embed the caller's key; that of JDBC is not JSON."""
    both = await local.good("GET", "/supportedDrivers")
    with pytest.raises(ValueError, match="double quotes|trailing comma"):  # by the version of Python
        await local.good("GET", "/supportedDrivers/jdbc")

    assert local.emulator.api_key in both["JDBC"]
    assert local.emulator.api_key in both["SQL_ALCHEMY"]


async def test_the_document_has_drivers_as_a_string(strict):
    """In strict mode the answer is a JSON string."""
    assert isinstance(await strict.good("GET", "/supportedDrivers"), str)


async def test_a_session_has_a_url_with_a_code(local):
    """Each has its own; a Project key gets one for its project alone."""
    other = local.emulator.add_project("Other")
    one, two = [await local.good("POST", "/ui/initSession", {"projectId": other.id}) for _ in range(2)]
    status, _ = await local.call("POST", "/ui/initSession", {"projectId": other.id}, key=local.emulator.project_key)

    assert one["sessionUrl"] != two["sessionUrl"]
    assert status == 403
