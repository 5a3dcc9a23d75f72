"""Runs what the Compose files say, as `docker compose up` does: the same commands, variables, mounts and probes."""

import ssl
import threading
import time
from pathlib import Path
from typing import Any, Final

from tests.containers.compose import Project, project
from tests.containers.container import Container, until
from tests.containers.image import Image
from tests.containers.with_image import set_up, tokens_of

PERSON: Final = "alice@compose.example"
REPLICAS: Final = ("corral-1", "corral-2")


def test_the_file_for_this_machine_works_as_it_is(image: Image, volumes: Path) -> None:
    with project(image, "compose.yaml", volumes) as home:
        home.up()
        corral = home.containers["corral"]
        corral.becomes_ready()
        assert home.is_healthy("corral")
        assert home.services["corral"]["ports"] == ["127.0.0.1:8002:8002"]
        token = set_up(corral)
        assert corral.stop() == 0
        assert tokens_of_the_restarted(home, token) == {"first"}


def tokens_of_the_restarted(home: Project, token: str) -> set[str]:
    corral = home.start("corral")
    corral.becomes_ready()
    return tokens_of(corral, token)


def test_two_replicas_behind_a_proxy_lose_no_request_while_one_after_the_other_is_restarted(
    image: Image, volumes: Path
) -> None:
    with project(image, "compose.postgresql.yaml", volumes) as cluster:
        cluster.up()
        proxy = cluster.containers["proxy"]
        for name in REPLICAS:
            until(lambda name=name: cluster.is_healthy(name))
        until(lambda: through(proxy, "GET", "/readyz")[0] == 200)
        added = cluster.start("migrate", "users", "add", PERSON, "--admin")  # docker compose run --rm migrate …
        assert added.ends() == 0, added.output
        assert "https://localhost/" in added.output
        made = cluster.containers["corral-1"].execute("corral", "tokens", "create", PERSON, "--name", "one")
        assert made.returncode == 0, made.stderr
        as_alice = {"Authorization": f"Bearer {made.stdout.strip()}"}
        statuses: list[int] = []
        is_over = threading.Event()

        def ask() -> None:
            while not is_over.is_set():
                statuses.append(through(proxy, "GET", "/api/me", **as_alice)[0])

        asking = [threading.Thread(target=ask) for _ in range(2)]
        for thread in asking:
            thread.start()
        for name in REPLICAS:
            before = len(statuses)
            assert cluster.containers[name].stop() == 0, cluster.containers[name].output
            cluster.start(name)
            until(lambda name=name: cluster.is_healthy(name))
            until(lambda before=before: len(statuses) > before + 20)
            time.sleep(2)  # Caddy asks each replica once a second
        is_over.set()
        for thread in asking:
            thread.join()
        assert set(statuses) == {200}, {status: statuses.count(status) for status in set(statuses)}
        no_secret_is_seen(cluster, volumes)


def through(proxy: Container, method: str, path: str, **options: Any) -> tuple[int, Any]:  # noqa: ANN401 - JSON
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return proxy.ask(method, path, host="localhost", port=443, tls=context, **options)


def no_secret_is_seen(cluster: Project, volumes: Path) -> None:
    """Neither in variables nor in arguments nor in logs, and the owner's not at all where requests are served."""
    passwords = [path.read_text() for path in volumes.glob("database-secrets/*") if path.name != "made"]
    assert len(passwords) == 3
    for name, container in cluster.containers.items():
        seen = container.output + "".join(container.process.command) + "".join(container.process.environment.values())
        assert not [password for password in passwords if password in seen], name
    for name in REPLICAS:
        found = cluster.containers[name].execute("grep", "-rl", "corral_owner", "/secrets", "/keyring", "/data")
        assert found.stdout == ""
    for path in volumes.glob("*-secrets/*"):
        assert path.name == "made" or path.stat().st_mode & 0o777 == 0o400
