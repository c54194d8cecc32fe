"""Content credentials from the campaign to the delivered file, and back from a file to what was delivered."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import CampaignError, OptionError
from catalogs.plans.file import METADATA_KEY, PlanFile
from inference.credentials.keys import CHAIN, KEY
from tasks.credentials import NO_STAMP
from tasks.credentials_check import check
from tasks.verify import verify
from tests.flows.commands import Packshot
from tests.flows.projects import SQUARE, Project, make, plan_rows, rendered
from tests.flows.signed import ALONE, nothing_is_set, only_row, signing, verdicts
from tests.inference.credentials.chains import made
from tests.inference.credentials.stamps import authority

__all__ = ["nothing_is_set"]


def test_every_delivered_file_is_signed_and_no_master(tmp_path: Path) -> None:
    formats = [{"name": name, "width": 48, "height": 32, "format": name} for name in ("jpeg", "png", "webp", "avif")]
    project = signing(tmp_path, 2, shots={**ALONE, "next": {**ALONE["hero"], "references": ["shot.hero"]}})
    project.campaign["channels"] = formats
    project.write()
    assert {report.failed for report in project.render()} == {0}
    found = list(check(project.path))
    assert {one.found.verdict.value for one in found} == {"development"}
    assert len(found) == 2 * 2 * 4
    assert {(one.found.made_by, one.found.iptc) for one in found} == {("tiny 1", "trainedAlgorithmicMedia")}
    assert {one.record for one in found} == {"as delivered"}
    # The photo; and for the shot that builds on the first, that picture and the photo behind it.
    assert {(one.asset.shot, one.found.sources) for one in found if one.asset} == {("hero", 1), ("next", 2)}
    for row in project.view(masters=True).values():
        assert ("c2pa" in dict(row["versions"])) is not row["master"]
        assert project.store.read(row["asset_key"]).count(b"c2pa.signature") == (0 if row["master"] else 2)


def test_from_the_command_line(tmp_path: Path, packshot: Packshot, prefect_harness: None) -> None:
    project = signing(tmp_path)
    said = packshot("render", project.path)
    assert (said.code, "warning: files are signed with a development certificate" in said.err) == (0, True)
    said = packshot("credentials", "check", project.path)
    assert (said.code, said.out.splitlines()[-1]) == (0, "1 files: 1 valid, development certificate")
    assert packshot("render", project.path).code == 0
    assert packshot("status", project.path).code == 0


def test_with_its_root_it_is_a_development_certificate_still(tmp_path: Path) -> None:
    project = signing(tmp_path)
    project.render()
    assert verdicts(project.path, anchors=(tmp_path / "credentials" / "root.pem").read_text()) == ["development"]


def test_a_real_chain_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(ends=timedelta(days=100))
    monkeypatch.setenv(KEY, one.key)
    monkeypatch.setenv(CHAIN, one.chain)
    project = signing(tmp_path / "shop", key=False)
    prepared = project.plan()
    (warning,) = (line for line in prepared.summary["warnings"] if "certificate" in line)
    assert warning.startswith("without credentials.timestamp_url every signature is invalid once")
    make(prepared)
    assert verdicts(project.path) == ["unknown_issuer"]
    assert verdicts(project.path, anchors=one.root) == ["trusted"]
    body = one.key.split("\n")[1].encode()
    for path in (tmp_path / "shop").rglob("*"):
        assert not path.is_file() or body not in path.read_bytes(), path


def test_proofs_are_never_signed_and_keep_every_byte(tmp_path: Path) -> None:
    plain = Project.of(tmp_path / "plain", 1, model="proof", shots=ALONE)
    signed = signing(tmp_path / "signed", key=False, model="proof", channels=plain.campaign["channels"])
    for project in (plain, signed):
        assert {report.failed for report in project.render()} == {0}
    assert {row["asset_key"] for row in plain.view().values()} == {row["asset_key"] for row in signed.view().values()}
    assert list(check(signed.path)) == []
    header = PlanFile(signed.store, signed.plan().plan_key).header
    assert b"credentials" not in header.encode()[METADATA_KEY]


def test_without_the_key_of_the_file_nothing_changes(tmp_path: Path) -> None:
    plain = signing(tmp_path / "plain", key=False, credentials=False)
    never = signing(tmp_path / "never", key=False)
    del never.campaign["credentials"]
    never.write()
    keys = []
    for project in (plain, never):
        project.render()
        keys.append((only_row(project)["fingerprint"], only_row(project)["asset_key"]))
    assert keys[0] == keys[1]


def test_nothing_to_sign_with_warns_a_plan_and_ends_a_render(tmp_path: Path, packshot: Packshot) -> None:
    project = signing(tmp_path, key=False)
    for command in (("plan", project.path), ("check", project.path)):
        said = packshot(*command)
        assert said.code == 0
        assert "a render ends here" in said.out
    said = packshot("render", project.path)
    assert said.code == 2
    (line,) = said.err.strip().splitlines()
    assert f"packshot credentials init {tmp_path / 'credentials'}" in line
    assert "PACKSHOT_CREDENTIALS_KEY" in line
    assert not list((tmp_path / "output" / "catalog").rglob("*.parquet"))


def test_a_chain_that_readers_refuse_ends_a_plan(tmp_path: Path, packshot: Packshot) -> None:
    project, one = signing(tmp_path, key=False), made()
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "key.pem").write_text(one.key)
    (folder / "chain.pem").write_text(one.middle + one.leaf)
    for command in ("plan", "check", "render"):
        said = packshot(command, project.path)
        assert (said.code, "begins with an authority" in said.err) == (2, True)
        assert len(said.err.strip().splitlines()) == 1


def test_a_shard_elsewhere_without_the_key_says_so(tmp_path: Path) -> None:
    project = signing(tmp_path)
    prepared = project.plan()
    (tmp_path / "credentials" / "key.pem").unlink()
    with pytest.raises(OptionError, match="there is nothing to sign with"):
        make(prepared)


def test_switched_on_files_are_finished_again_and_nothing_is_rendered(tmp_path: Path) -> None:
    project = signing(tmp_path, credentials=False)
    assert rendered(project.render()) == 1
    assert verdicts(project.path) == ["none"]
    project.campaign["credentials"] = True
    project.write()
    prepared = project.plan()
    assert {row["work"] for row in plan_rows(prepared)} == {"finish"}
    assert rendered(make(prepared)) == 0
    assert verdicts(project.path) == ["development"]


def test_a_renewed_certificate_signs_nothing_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = signing(tmp_path)
    project.render()
    one = made(organisation="Renewed")
    monkeypatch.setenv(KEY, one.key)
    monkeypatch.setenv(CHAIN, one.chain)
    project.campaign["credentials"] = {"timestamp_url": "http://127.0.0.1:9/"}
    project.write()
    assert not project.plan().has_work
    project.campaign["credentials"] = {"training_mining": "allowed"}
    project.write()
    assert {row["work"] for row in plan_rows(project.plan())} == {"finish"}


def test_a_file_that_is_gone_is_signed_again_under_a_new_key(tmp_path: Path) -> None:
    project = signing(tmp_path)
    project.render()
    before = only_row(project)
    old = project.store.read(before["asset_key"])
    project.store.delete([before["asset_key"]])
    campaign = load_campaign(project.path)
    assert verify(campaign, project.store, sure=True).missing == 1
    assert only_row(project)["status"] == "missing"
    assert rendered(project.render()) == 0
    after = only_row(project)
    assert (after["status"], after["fingerprint"]) == ("delivered", before["fingerprint"])
    assert after["asset_key"] != before["asset_key"]
    assert after["pixel_sha256"] == before["pixel_sha256"]
    assert verify(campaign, project.store, deep=True).missing == 0
    assert verdicts(project.path) == ["development"]
    assert not project.plan().has_work
    # The first file comes back, as from a backup: the record stays where it is.
    project.store.write(before["asset_key"], old)
    assert verify(campaign, project.store, deep=True).as_dict()["found"] == 0
    assert only_row(project)["asset_key"] == after["asset_key"]
    assert not project.plan().has_work


def test_what_was_stored_and_not_committed_is_signed_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the bytes and the commit leaves a file that nothing names; the next start has one of its own."""
    project = signing(tmp_path)
    monkeypatch.setattr("tasks.shard.commit_all", lambda *given: None)
    project.render()
    monkeypatch.undo()
    assert project.view() == {}
    assert rendered(project.render()) == 0
    assert len(project.store.list("assets")) == 2
    assert verdicts(project.path) == ["development"]


def test_a_required_time_stamp_fails_the_asset_until_there_is_one(tmp_path: Path) -> None:
    project = signing(tmp_path, credentials={"timestamp_url": "http://127.0.0.1:9/", "timestamp": "required"})
    for _ in range(4):
        reports = project.render()
        assert [report.reasons for report in reports] == [{"credentials_failed": 1}]
        row = only_row(project)
        assert (row["status"], row["final"]) == ("failed", False)
        assert row["detail"].startswith("no time stamp of http://127.0.0.1:9/")
    (tmp_path / "tsa").mkdir()
    with authority(tmp_path / "tsa") as state:
        project.campaign["credentials"]["timestamp_url"] = state.url
        project.write()
        reports = project.render()
    assert (rendered(reports), reports[0].delivered) == (0, 1)
    (one,) = check(project.path)
    assert (one.found.verdict.value, bool(one.found.signed_at)) == ("development", True)


def test_a_wanted_time_stamp_is_told_in_the_row(tmp_path: Path) -> None:
    project = signing(tmp_path, credentials={"timestamp_url": "http://127.0.0.1:9/"})
    (report,) = project.render()
    assert (report.delivered, report.remarks) == (1, {NO_STAMP: 1})
    assert only_row(project)["detail"].startswith("signed without a time stamp of http://127.0.0.1:9/")


def test_reports_name_a_development_certificate(tmp_path: Path, packshot: Packshot) -> None:
    project = signing(tmp_path)
    project.render()
    said = "files are signed with a development certificate, which nobody trusts"
    assert f"credentials: {said}" in packshot("status", project.path).out.splitlines()
    page = Path(packshot("report", project.path, "--json").answer["gallery"])
    assert said in page.read_text(encoding="utf-8")
    (tmp_path / "credentials" / "key.pem").unlink()
    assert said not in packshot("status", project.path).out, "it is not known here what signed"


def test_an_approved_plan_signs_as_it_was_approved(tmp_path: Path) -> None:
    project = signing(tmp_path)
    approved = tmp_path / "approved.parquet"
    approved.write_bytes(project.store.read(project.plan().plan_key))
    project.campaign["credentials"] = False
    project.write()
    from tasks.prepare import prepare

    make(prepare(project.path, {}, str(approved)))
    assert verdicts(project.path) == ["development"]


def test_a_plan_whose_signing_was_changed_is_refused(tmp_path: Path) -> None:
    import json

    import pyarrow.parquet as pq

    project = signing(tmp_path)
    key = project.plan().plan_key
    path = tmp_path / "output" / key
    for change in ({}, {"training_mining": "allowed"}, {"training_mining": "sure"}):
        table = pq.read_table(path)
        header = json.loads(table.schema.metadata[METADATA_KEY])
        header["credentials"] = {**header["credentials"], **change} if change else {}
        changed = tmp_path / "changed.parquet"
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(header)}), changed)
        from tasks.prepare import prepare

        with pytest.raises(CampaignError, match="it was changed after it was planned"):
            prepare(project.path, {}, str(changed))


def test_the_limit_of_a_channel_holds_for_the_signed_file(tmp_path: Path) -> None:
    project = signing(tmp_path, channels=[{**SQUARE[0], "max_bytes": 8_000}])
    assert project.render()[0].delivered == 1
    assert only_row(project)["bytes"] <= 8_000
    project.campaign["channels"][0]["max_bytes"] = 5_000
    project.write()
    assert [report.reasons for report in project.render()] == [{"over_byte_limit": 1}]
    assert "content credential" in only_row(project)["detail"]


def test_init_makes_what_the_sample_is_signed_with(tmp_path: Path, packshot: Packshot) -> None:
    folder = tmp_path / "demo"
    assert packshot("init", str(folder)).code == 0
    assert (folder / "credentials" / "key.pem").stat().st_mode & 0o777 == 0o600
    planned = packshot("plan", str(folder / "campaign-tiny.yaml"))
    assert (planned.code, "development certificate" in planned.out) == (0, True)
    again = packshot("credentials", "init", str(folder / "credentials"))
    assert (again.code, "is there already" in again.err) == (2, True)
    own = packshot("credentials", "init", str(tmp_path / "own"), "--json")
    assert (own.code, len(own.answer["files"])) == (0, 4)
