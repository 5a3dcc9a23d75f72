"""What a worker is told when it begins."""

from pathlib import Path

from pydantic import SecretStr

from corral.settings import Settings
from corral.workers.channel import handed_over


def test_a_worker_gets_every_setting_but_the_owners_address() -> None:
    settings = Settings(
        data_dir=Path("/data"),
        database_url=SecretStr("postgresql://corral_app:hunter2@db/corral"),
        database_owner_url=SecretStr("postgresql://corral_owner:hunter3@db/corral"),
        keyring="file:/keyring.json",
        tls_cert=Path("/tls.pem"),
        tls_key=Path("/tls-key.pem"),
        cache_seconds=0.5,
        drain_seconds=None,
        log_format="json",
    )
    told = handed_over(settings)
    assert "hunter3" not in str(told)
    assert told["database_url"] == "postgresql://corral_app:hunter2@db/corral"
    assert Settings.model_validate(told) == settings.model_copy(update={"database_owner_url": None})
