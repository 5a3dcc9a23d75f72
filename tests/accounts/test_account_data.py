from tests.people import Person


async def test_the_owner_reads_how_the_account_stands(alice: Person) -> None:
    credential = await alice.store()
    async with alice.client.get(f"/api/credentials/{credential['id']}/account-data") as answer:
        assert answer.status == 200
        data = await answer.json()
    assert data["account_type"] == "paper"
