"""Query parameters of the calls over all accounts: those of one account's lists, and which accounts are read."""

from uuid import UUID

from pydantic import BaseModel, Field

from corral.accounts.combined.selection import Selection
from corral.accounts.params import (
    CREDENTIAL_IDS_PATTERN,
    ActivitiesPageParams,
    ActivitiesParams,
    ExportParams,
    HistoryParams,
    OrdersPageParams,
    OrdersParams,
)
from corral.alpaca.environments import Environment


class SelectionParams(BaseModel, extra="forbid"):
    account_type: Environment | None = Field(None, description="Only paper or only live accounts")
    credential_ids: str | None = Field(
        None,
        pattern=CREDENTIAL_IDS_PATTERN,
        description="Only these accounts, comma-separated. An id that isn't that of an active account is in `problems`",
        examples=["7313be74-76ad-4323-84be-e7895b777296"],
    )

    @property
    def selection(self) -> Selection:
        ids = None if self.credential_ids is None else sorted({*map(UUID, self.credential_ids.split(","))})
        return Selection(self.account_type, None if ids is None else tuple(ids))


class AllPositionsParams(SelectionParams):
    pass


class AllPositionsExportParams(SelectionParams, ExportParams):
    pass


class AllOrdersParams(SelectionParams, OrdersPageParams):
    pass


class AllOrdersExportParams(SelectionParams, OrdersParams, ExportParams):
    pass


class AllActivitiesParams(SelectionParams, ActivitiesPageParams):
    pass


class AllActivitiesExportParams(SelectionParams, ActivitiesParams, ExportParams):
    pass


class AllHistoryParams(SelectionParams, HistoryParams):
    pass


class AllHistoryExportParams(SelectionParams, HistoryParams, ExportParams):
    pass
