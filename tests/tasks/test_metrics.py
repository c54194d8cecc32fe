"""What is counted is what the asset catalog gained; and nothing is, and nothing breaks, where nobody looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.multiprocess import MultiProcessCollector

from catalogs.assets.tallies import read_tallies
from catalogs.errors import EngineError
from catalogs.journal.sums import entries
from catalogs.money import usd
from tasks import metrics
from tasks.metrics import ASSETS, COST, ENGINE_SECONDS, PICTURES, SETTING, SHARDS, STAGE_SECONDS, Meter, Metric
from tasks.stopping import stopping
from tests.flows.projects import Project, hosted, make
from tests.ledger.rules import Rules
from tests.ledger.running import LedgerApi
from tests.tasks.test_shard import Poisoned, shards, work

Numbers = Callable[..., dict[tuple[str, ...], float]]


@pytest.fixture
def numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Numbers]:
    """Values of a metric by these of its labels, as they are counted from here on."""
    folder = tmp_path / "numbers"
    folder.mkdir()
    monkeypatch.setenv(SETTING, str(folder))
    monkeypatch.setattr(metrics, "files", metrics._Files())

    def read(metric: Metric, *labels: str) -> dict[tuple[str, ...], float]:
        found: Counter[tuple[str, ...]] = Counter()
        for family in MultiProcessCollector.merge(list(map(str, folder.glob("*.db")))):
            for sample in family.samples if family.name == metric.family else ():
                assert set(sample.labels) == set(metric.labels)
                found[tuple(sample.labels[name] for name in labels)] += sample.value
        return {key: value for key, value in found.items() if value}

    yield read
    metrics.files.close()


def gained(project: Project) -> dict[tuple[str, str], int]:
    """What the asset catalog says came to it."""
    tallies = read_tallies(project.store)
    found = Counter({("delivered", ""): tallies.delivered.num_rows})
    found.update(("failed", reason) for reason in tallies.failed["reason"].to_pylist())
    return dict(+found)


class Breaking(Poisoned):
    """Breaks as a whole at its third picture, once."""

    drawn = 0

    def render(self, batch: Any) -> Any:
        for result in super().render(batch):
            type(self).drawn += 1
            if type(self).drawn == 3:
                raise EngineError("broken")
            yield result


def test_every_asset_that_is_committed_counts_once_by_state_and_reason(tmp_path: Path, numbers: Numbers) -> None:
    project = Project.of(tmp_path / "project", products=3)
    prepared = project.plan()
    Breaking.drawn = 0
    for number, shard in enumerate(shards(prepared)):
        if not number:
            with pytest.raises(EngineError):
                work(prepared, shard, Breaking)
            half = gained(project)
            assert numbers(ASSETS, "state", "reason") == half, "also of a shard that failed as a whole"
            assert sum(half.values()) > 0
        work(prepared, shard, Breaking)  # as Prefect tries it again
    assert ("failed", "upstream_failed") in gained(project)
    assert numbers(ASSETS, "state", "reason") == gained(project)
    assert not numbers(SHARDS, "campaign"), "none is at work any more"
    for shard in shards(prepared):
        work(prepared, shard)
    assert numbers(ASSETS, "state", "reason") == gained(project)
    assert set(numbers(ASSETS, "campaign", "engine")) == {("spring", "proof")}


def test_pictures_and_seconds_are_those_of_the_reports(tmp_path: Path, numbers: Numbers) -> None:
    project = Project.of(tmp_path / "project", products=3)
    reports = make(project.plan(), assets_a_shard=4)
    project.store.delete(project.store.list("catalog"))  # as if it had been killed before it could commit
    reports += make(project.plan(), assets_a_shard=4)
    sources = {("rendered",): sum(r.rendered for r in reports), ("adopted",): sum(r.adopted for r in reports)}
    assert numbers(PICTURES, "source") == sources == {("rendered",): 6, ("adopted",): 6}
    seconds: Counter[str] = Counter()
    for report in reports:
        seconds.update(report.host_seconds)
    assert {"encode", "finish", "store"} <= set(seconds)
    assert numbers(STAGE_SECONDS, "on", "stage") == pytest.approx({("host", k): v for k, v in seconds.items() if v})
    spent = sum(report.engine_seconds for report in reports)
    assert numbers(ENGINE_SECONDS, "engine") == pytest.approx({("proof",): spent})


def test_a_report_of_another_machine_counts_as_its_shard_would(tmp_path: Path, numbers: Numbers) -> None:
    project = Project.of(tmp_path / "project", products=3)
    prepared = project.plan()
    names = (
        (ASSETS, "state", "reason"),
        (PICTURES, "source"),
        (ENGINE_SECONDS, "engine"),
        (STAGE_SECONDS, "on", "stage"),
    )
    reports = [work(prepared, shard, Poisoned) for shard in shards(prepared)]
    here = [numbers(*name) for name in names]
    assert all(here)
    for report in reports:
        Meter("spring", "proof").report(report.as_dict())
    assert [numbers(*name) for name in names] == [
        pytest.approx({key: 2 * value for key, value in found.items()}) for found in here
    ]


def test_nothing_is_counted_where_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTING, raising=False)

    def refuse(*arguments: Any) -> None:
        raise AssertionError("a file is made")

    monkeypatch.setattr(metrics, "NumberFile", refuse)
    assert make(Project.of(tmp_path, products=1).plan())
    monkeypatch.setenv(SETTING, str(tmp_path))
    monkeypatch.setattr(metrics, "files", metrics._Files())
    with pytest.raises(AssertionError, match="a file is made"):
        Meter("spring", "proof").count(ASSETS)


def test_numbers_that_cannot_be_written_are_told_of_once_and_cost_nothing(
    tmp_path: Path, numbers: Numbers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(SETTING, str(tmp_path / "nowhere"))
    project = Project.of(tmp_path / "project", products=1)
    assert sum(report.delivered for report in make(project.plan())) == 4
    [line] = [record.getMessage() for record in caplog.records if "Prometheus" in record.getMessage()]
    assert "No such file or directory" in line


def test_a_file_is_on_the_disk_before_it_is_mapped(tmp_path: Path) -> None:
    """A hole in a mapped file is filled when it is written to: on a full disk that kills the process."""
    file = metrics.NumberFile(tmp_path / "counter_1-1.db")
    try:
        stat = (tmp_path / "counter_1-1.db").stat()
        assert stat.st_blocks * 512 >= stat.st_size == metrics.FILE_BYTES
    finally:
        file.close()


def test_what_a_plan_leaves_unchanged_counts_but_for_what_has_failed_for_good(tmp_path: Path, numbers: Numbers) -> None:
    project = Project.of(tmp_path / "project", products=3)
    make(project.plan())
    project.products[0]["title"] = "Bowl"
    project.write()
    prepared = project.plan()
    actions = prepared.summary["actions"]
    metrics.count_unchanged(prepared.store, prepared.plan_key, prepared.summary)
    assert numbers(ASSETS, "state")[("unchanged",)] == actions["unchanged"] == 8
    metrics.count_unchanged(prepared.store, prepared.plan_key, {**prepared.summary, "failed_before": 3})
    assert numbers(ASSETS, "state")[("unchanged",)] == 8 + 5


@pytest.mark.timeout(120)
def test_what_was_paid_is_what_the_journal_has_also_of_pictures_that_failed(
    tmp_path: Path, numbers: Numbers, ledger_server: LedgerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BFL_API_KEY", "a-key-of-the-ledger")
    ledger_server.forget()
    ledger_server.rules(p_content_moderated=0.5, seed=next(filter(_fails_some, range(100))))
    stopping.clear()
    project = hosted(ledger_server, tmp_path / "project", products=5)
    reports = make(project.plan())
    assert sum(report.failed for report in reports) > 0
    assert sum(report.delivered for report in reports) > 0
    paid = sum(entry.paid for entry in entries(project.store))
    assert paid == ledger_server.billed() == 5 * 14_000
    assert numbers(COST, "campaign", "engine") == {("spring", "bfl"): pytest.approx(usd(paid))}
    make(project.plan())
    assert numbers(COST) == {(): pytest.approx(usd(paid))}, "nothing is paid for twice"


def _fails_some(seed: int) -> bool:
    rules = Rules(seed=seed, p_content_moderated=0.5)
    return len({rules.happens("p_content_moderated", n) for n in range(1, 6)}) == 2
