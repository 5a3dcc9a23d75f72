"""Creates one resource of each kind whose id is part of a page's path."""

from uuid import uuid4

from tests.access import browser, sign_in_by_link
from tests.conftest import Service
from tests.people import Person


async def ids_of(
    service: Service, person: Person, other: Person, nickname: str = "mine", key_id: str | None = None
) -> dict[str, str]:
    """Returns ids by the parameter's name: an account, its last order and a grant of it, a token, a session, an
    invitation.

    `other` is the member that an administrator could disable.
    """
    credential = await person.store(key_id, nickname)
    async with person.client.get(f"/api/credentials/{credential['id']}/orders") as answer:
        order_id = (await answer.json())["items"][0]["id"]
    async with person.client.post("/api/tokens", json={"name": "another"}) as answer:
        token = await answer.json()
    new_grant = {"name": "bot", "access": "read"}
    async with person.client.post(f"/api/credentials/{credential['id']}/grants", json=new_grant) as answer:
        grant = await answer.json()
    cookie = await sign_in_by_link(service, person.user_id)
    async with browser(service.url, cookie) as page:
        async with page.get("/api/sessions") as answer:
            session = next(session for session in (await answer.json())["items"] if session["is_current"])
        invited = {"email": f"dora-{uuid4()}@corral.example"}
        async with page.post("/api/people/invitations", json=invited) as answer:  # only an administrator can
            invitation_id = (await answer.json())["id"] if answer.status == 201 else str(uuid4())
    return {
        "credential_id": credential["id"],
        "order_id": order_id,
        "symbol": "AAPL",
        "token_id": token["id"],
        "grant_id": grant["id"],
        "session_id": session["id"],
        "person_id": str(other.user_id),
        "invitation_id": invitation_id,
    }
