"""The figures of one run as a table, and beside what was aimed at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.audit import AuditFigures
from benchmarks.backup import BackupFigures
from benchmarks.cards import CardFigures
from benchmarks.gateway import GatewayFigures
from benchmarks.holdings import HoldingsFigures
from benchmarks.listening import percentile
from benchmarks.load import Report
from benchmarks.overview import OverviewFigures
from benchmarks.sandbox import SANDBOX_LOADS, SandboxFigures
from benchmarks.servers import LATENCY_SECONDS
from benchmarks.steady import Comparison
from benchmarks.streams import StreamFigures
from benchmarks.trade_sockets import SocketFigures
from benchmarks.variants import VARIANTS


@dataclass(frozen=True, slots=True)
class Figures:
    """`extra_memory` is in bytes, for a thousand accounts."""

    loads: Mapping[str, Report]
    overview: OverviewFigures
    cards: CardFigures
    holdings: HoldingsFigures
    streams: StreamFigures
    sockets: SocketFigures
    extra_memory: int
    audit: AuditFigures
    gateway: GatewayFigures
    sandbox: SandboxFigures
    backup: BackupFigures


def print_figures(console: Console, figures: Figures) -> None:
    console.print(_loads(figures))
    console.print(_sandbox_loads(figures.sandbox))
    console.print(_targets(figures))


def _loads(figures: Figures) -> Table:
    """CPU columns are of one core: what the server takes for an answer, and how busy server and load were."""
    title = f"One server process, Alpaca answering after {LATENCY_SECONDS * 1000:.0f} ms"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("variant", no_wrap=True)
    names = (
        "clients",
        "req/s",
        "x (a)",
        "p50\nms",
        "p99\nms",
        "errors",
        "server\nµs/req",
        "server\ncore",
        "load\ncore",
    )
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    slowest = figures.loads["a"].per_second
    for key, variant in VARIANTS.items():
        load = figures.loads[key]
        table.add_row(
            variant.title,
            f"{variant.clients}",
            f"[bold]{_brief(load.per_second)}[/]",
            _brief(_ratio(load.per_second, slowest)),
            _brief(load.p50_ms),
            _brief(load.p99_ms),
            f"[red]{load.errors}[/]" if load.errors else "0",
            f"{load.server_cpu_us:,.0f}",
            f"{load.server_cpu_seconds / load.seconds:.0%}",
            f"{load.load_cpu_seconds / load.seconds:.0%}",
        )
    return table


def _targets(figures: Figures) -> Table:
    table = Table(title="Targets", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("", "aim", "measured"):
        table.add_column(name)
    table.add_column("reached", justify="center")
    rate = {key: load.per_second for key, load in figures.loads.items()}
    limit = VARIANTS["b64"].clients / LATENCY_SECONDS
    to_plan = _ratio(rate["b64"], rate["a"])
    to_limit = rate["b64"] / limit
    to_thread = _ratio(rate["b400"], rate["a'"])
    to_constant = _ratio(rate["c"], rate["d"])
    page_ms = figures.overview.page.p50_ms
    to_loop = _ratio(figures.overview.loop_seconds * 1000, page_ms)
    page_limit_ms = LATENCY_SECONDS * 1000 * 1.3 + 50
    streams = figures.streams
    stream_kilobytes = streams.memory / max(streams.streams, 1) / 1e3
    calls = streams.most_calls / streams.counted_seconds
    order_ms = percentile(streams.heard.latencies_ms, 99)
    is_all_heard = len(streams.heard.latencies_ms) == streams.heard.expected and not streams.heard.lost_streams
    megabytes = figures.extra_memory / 1e6
    rows = (
        ("(b) / (a), 64 clients", "≥ 70x", f"{to_plan:.1f}x", to_plan >= 70),
        (f"(b) of the latency limit {limit:.0f} req/s, 64 clients", "≥ 90 %", f"{to_limit:.1%}", to_limit >= 0.9),
        ("(b), 400 clients", "≥ 1,500 req/s or ≥ 8x (a')", f"{rate['b400']:,.0f} req/s, {to_thread:.1f}x",
         rate["b400"] >= 1500 or to_thread >= 8),
        ("(c) / (d)", "≥ 20 %", f"{to_constant:.1%}", to_constant >= 0.2),
        ("overview of 50 accounts, the median", f"≤ {page_limit_ms:.0f} ms", f"{page_ms:.0f} ms",
         not figures.overview.page.errors and page_ms <= page_limit_ms),
        ("  beside a loop over the SDK", "≥ 25x", f"{to_loop:.1f}x", to_loop >= 25),
        *_cards(figures.cards),
        *_holdings(figures.holdings),
        (f"{streams.streams:,} streams over {streams.accounts} accounts: memory of each", "≤ 60 KB",
         f"{stream_kilobytes:.1f} KB", stream_kilobytes <= 60),
        ("  calls to Alpaca for the busiest account", "≤ 1 a second", f"{calls:.1f} a second", calls <= 1.1),
        ("  from a fill to its event, 99th percentile", "≤ 100 ms",
         f"{order_ms:.0f} ms, {len(streams.heard.latencies_ms):,} of {streams.heard.expected:,} heard",
         is_all_heard and order_ms <= 100),
        *_sockets(figures.sockets),
        ("memory for 1,000 idle accounts", "≤ 2 MB", f"{megabytes:.2f} MB", megabytes <= 2),
        *_audit(figures.audit),
        *_gateway(figures.gateway),
        *_sandbox(figures.sandbox),
        (f"{figures.backup.accounts:,} accounts restored", "≤ 60 s",
         f"{figures.backup.restore_seconds:.1f} s; backed up in {figures.backup.backup_seconds:.1f} s",
         figures.backup.restore_seconds <= 60),
    )  # fmt: skip
    for what, aim, measured, is_reached in rows:
        table.add_row(what, aim, measured, "[green]✓[/]" if is_reached else "[red]✗[/]")
    return table


def _sandbox_loads(figures: SandboxFigures) -> Table:
    table = Table(title="The sandbox, in one process", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("requests", no_wrap=True)
    for name in ("req/s", "of the\nconstant", "p50\nms", "p99\nms", "errors", "server\nµs/req", "server\ncore"):
        table.add_column(name, justify="right", no_wrap=True)
    constant = figures.loads["nothing"].per_second
    for key, load in figures.loads.items():
        table.add_row(
            SANDBOX_LOADS[key].title,
            f"[bold]{_brief(load.per_second)}[/]",
            f"{_ratio(load.per_second, constant):.0%}",
            _brief(load.p50_ms),
            _brief(load.p99_ms),
            f"[red]{load.errors}[/]" if load.errors else "0",
            f"{load.server_cpu_us:,.0f}",
            f"{load.server_cpu_seconds / load.seconds:.0%}",
        )
    return table


def _sandbox(figures: SandboxFigures) -> list[tuple[str, str, str, bool]]:
    accounts, orders, work = figures.loads["account"], figures.loads["order"], figures.work
    return [
        ("sandbox: GET /v2/account", "≥ 3,000 a second", f"{accounts.per_second:,.0f} a second",
         not accounts.errors and accounts.per_second >= 3_000),
        ("  market orders", "≥ 1,500 a second", f"{orders.per_second:,.0f} a second",
         not orders.errors and orders.per_second >= 1_500),
        ("  an hour advanced with 50 open orders, the median", "≤ 100 ms", f"{work.hour:.0f} ms", work.hour <= 100),
        ("  a year of daily bars, the median", "≤ 20 ms", f"{work.year:.1f} ms", work.year <= 20),
        ("  another request while 10,000 bars are made, 99th percentile", "≤ 50 ms",
         f"{work.wait_p99:.0f} ms, and {work.minutes:.0f} ms for the bars", work.wait_p99 <= 50),
    ]  # fmt: skip


def _cards(cards: CardFigures) -> list[tuple[str, str, str, bool]]:
    weight = cards.weight
    return [
        ("home with 30 accounts: median, 99th percentile", "≤ 50 ms",
         f"{cards.warm.p50_ms:.0f} ms, {cards.warm.p99_ms:.0f} ms", not cards.warm.errors and cards.warm.p50_ms <= 50),
        ("  one of them for an account that never answers", "≤ 160 ms",
         f"{cards.waiting.p50_ms:.0f} ms, {cards.waiting.p99_ms:.0f} ms",
         not cards.waiting.errors and cards.waiting.p50_ms <= 160),
        ("  its weight as it is sent", "≤ 120 KB",
         f"{_kilobytes(weight.page)}, its HTML {_kilobytes(weight.html)}, its styles {_kilobytes(weight.styles)}",
         weight.page <= 120_000),
        ("  scripts on it as they are sent, and of all pages", "≤ 60 KB on it",
         f"{_kilobytes(weight.scripts)}, {_kilobytes(weight.all_scripts)}", weight.scripts <= 60_000),
        ("  scripts of an account's page as they are sent", "≤ 60 KB", _kilobytes(cards.account_scripts),
         cards.account_scripts <= 60_000),
    ]  # fmt: skip


def _holdings(holdings: HoldingsFigures) -> list[tuple[str, str, str, bool]]:
    page = holdings.page
    return [
        ("holdings of 30 accounts with 1,500 positions: median, 99th percentile", "≤ 80 ms",
         f"{page.p50_ms:.0f} ms, {page.p99_ms:.0f} ms", not page.errors and page.p50_ms <= 80),
    ]  # fmt: skip


def _sockets(sockets: SocketFigures) -> list[tuple[str, str, str, bool]]:
    kilobytes = sockets.memory / max(sockets.sockets, 1) / 1e3
    return [
        (f"{sockets.sockets} sockets of grants on one account: memory of each", "≤ 40 KB",
         f"{kilobytes:.1f} KB, {sockets.heard} heard a fill", kilobytes <= 40 and sockets.heard == sockets.sockets),
        ("  calls to Alpaca for all of them", "≤ 5", f"{sockets.calls}", sockets.calls <= 5),
    ]  # fmt: skip


def _audit(audit: AuditFigures) -> list[tuple[str, str, str, bool]]:
    begin, begin_p99 = percentile(audit.begin_ms, 50), percentile(audit.begin_ms, 99)
    commit = percentile(audit.commit_ms, 50)
    return [
        (f"an order's entry at 200 orders a second: beyond a bare commit of {commit:.1f} ms", "≤ 2 ms",
         f"{begin - commit:.1f} ms, 99th percentile of the whole {begin_p99:.1f} ms", begin - commit <= 2),
        ("  orders of one account with their outcomes, at most", "≥ 200 a second",
         f"{audit.most_orders_per_second:,.0f} a second", audit.most_orders_per_second >= 200),
        ("  a million entries verified", "≤ 60 s",
         f"{audit.seconds_for_a_million:.0f} s, by {audit.entries:,}", audit.seconds_for_a_million <= 60),
    ]  # fmt: skip


def _gateway(gateway: GatewayFigures) -> list[tuple[str, str, str, bool]]:
    rows: list[tuple[str, str, str, bool]] = []
    for name, load in gateway.loads.items():
        rows += [
            _added(f"gateway to Alpaca answering {name}: added to positions", load.reads),
            _added("  added to an order, beyond a bare commit", load.orders, gateway.commit_ms),
            ("  positions at most", "≥ 1,000 a second",
             f"{load.most.per_second:,.0f} a second, {load.most.server_cpu_us:.0f} µs of CPU each",
             not load.most.errors and load.most.per_second >= 1_000),
        ]  # fmt: skip
    return rows


def _added(what: str, compared: Comparison, commit_ms: Sequence[float] = ()) -> tuple[str, str, str, bool]:
    """Percentiles through the gateway, less the same ones of Alpaca itself and of bare commits."""
    median, slowest = (compared.added(percent) - percentile(commit_ms, percent) for percent in (50, 99))
    errors = f", {compared.errors} errors" if compared.errors else ""
    is_reached = not compared.errors and median <= 2 and slowest <= 8
    return what, "≤ 2 ms, 99 % ≤ 8 ms", f"{median:.1f} ms, 99 % {slowest:.1f} ms{errors}", is_reached


def _kilobytes(size: int) -> str:
    return f"{size / 1e3:.1f} KB"


def _brief(figure: float) -> str:
    return f"{figure:,.1f}" if figure < 100 else f"{figure:,.0f}"


def _ratio(of: float, to: float) -> float:
    return of / to if to else 0.0
