"""Organizations: the top level, above workspaces and projects. The operations need a Partner key."""

from __future__ import annotations

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.models.organizations import Organization


class Organizations(Group):
    """The organizations that the key can access."""

    async def list(self) -> List[Organization]:
        """List the organizations.

        [API page](https://docs.peaka.com/api-reference/organizations/list-organizations)
        """
        return await self._send(
            Request(
                "organizations.list",
                "GET",
                "/organizations",
                returns=list[Organization],
                safety=Safety.SAFE,
                partner_only=True,
            )
        )

    async def get(self, organization_id: str) -> Organization:
        """Get an organization.

        [API page](https://docs.peaka.com/api-reference/organizations/read-organization)
        """
        return await self._send(
            Request(
                "organizations.get",
                "GET",
                "/organizations/{organization_id}",
                path={"organization_id": organization_id},
                returns=Organization,
                safety=Safety.SAFE,
                partner_only=True,
            )
        )
