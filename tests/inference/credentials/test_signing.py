from __future__ import annotations

import io
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import inference.credentials.signing as signing_module
from catalogs.campaigns.credentials import Credentials
from catalogs.requests import Reason
from inference.credentials.manifest import Making, Source
from inference.credentials.reading import CredentialReader, Verdict
from inference.credentials.signing import CredentialsFailed, Signing
from tests.inference.credentials.chains import Made, made
from tests.inference.credentials.pictures import EDITS, MAKING, MIMES, encoded, key_of, read, signed_by
from tests.inference.credentials.stamps import Authority, authority


@pytest.fixture(scope="module")
def one() -> Made:
    return made()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    signing_module._CONTEXTS.forget()
    monkeypatch.setattr(signing_module, "WAITS", {"wanted": (0.0, 0.0, 0.0), "required": (0.0, 0.0, 0.0, 0.0)})


def manifest_of(data: bytes) -> dict[str, Any]:
    import c2pa

    with c2pa.Reader("image/jpeg", io.BytesIO(data)) as reader:
        found: dict[str, Any] = reader.get_active_manifest()
        return found


def test_what_a_credential_says(one: Made) -> None:
    data = signed_by(one)
    said = manifest_of(data)
    assertions = {each["label"]: each["data"] for each in said["assertions"]}
    created, crop, encode = assertions["c2pa.actions.v2"]["actions"]
    assert created["action"] == "c2pa.created"
    assert created["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert created["softwareAgent"] == {"name": "klein-4b", "version": "r1"}
    assert created["parameters"]["packshot.references"] == {"image-1": {"role": "hero", "sha256": "ab" * 32}}
    assert len(created["parameters"]["ingredients"]) == 1
    assert (crop["action"], encode["action"]) == ("c2pa.cropped", "c2pa.transcoded")
    assert (crop["parameters"]["packshot.width"], encode["parameters"]["packshot.quality"]) == (64, 92)
    (photo,) = said["ingredients"]
    assert (photo["title"], photo["format"], photo["relationship"]) == ("front.jpg", "image/jpeg", "inputTo")
    assert "thumbnail" not in json.dumps(said)
    assert b"secret-bucket" not in data
    assert b"private" not in data


@pytest.mark.parametrize(
    ("choice", "said"), [("not-allowed", {"notAllowed"}), ("allowed", {"allowed"}), ("unsaid", set())]
)
def test_the_choice_of_training(one: Made, choice: str, said: set[str]) -> None:
    labels = {each["label"]: each["data"] for each in manifest_of(signed_by(one, training_mining=choice))["assertions"]}
    uses = labels.get("cawg.training-mining", {"entries": {}})["entries"]
    assert {use["use"] for use in uses.values()} == said
    assert not said or set(uses) == {"cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining"}


@pytest.mark.parametrize("format", MIMES)
def test_every_format_is_signed_and_hardly_larger(one: Made, format: str) -> None:
    signed = signed_by(one, format)
    assert read(signed, one.root).verdict == Verdict.TRUSTED
    assert 2_000 < len(signed) - len(encoded(format)) < 7_000


def test_pixels_that_stay_are_told(one: Made) -> None:
    composite = Making("Mug", "klein-4b", "r1", composite=True)
    data = Signing(key_of(one), Credentials()).sign(encoded(), "image/jpeg", composite, []).data
    found = read(data, one.root)
    assert (found.verdict, found.source_type, found.sources) == (
        Verdict.TRUSTED,
        "compositeWithTrainedAlgorithmicMedia",
        0,
    )


@pytest.mark.parametrize(
    ("uri", "title", "format"),
    [
        ("/srv/photos/mug.PNG", "mug.PNG", "image/png"),
        ("https://cdn.example/a/b.webp?token=hush#x", "b.webp", "image/webp"),
        ("s3://bucket/key", "key", "application/octet-stream"),
        ("https://cdn.example/", "photo", "application/octet-stream"),
        ("/photos/日本.tif", "日本.tif", "image/tiff"),
        ("/photos/" + "x" * 500, "x" * 200, "application/octet-stream"),
    ],
)
def test_a_photo_is_told_by_its_files_name(one: Made, uri: str, title: str, format: str) -> None:
    source = Source.photo(uri, "00" * 32, "hero")
    assert (source.title, source.format) == (title, format)
    making = Making('Ü "quoted" \u2028', "m", "", (source, source))
    data = Signing(key_of(one), Credentials()).sign(encoded(), "image/jpeg", making, EDITS).data
    assert read(data, one.root).verdict == Verdict.TRUSTED


def test_a_context_is_shared_by_threads(one: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, make = [], signing_module._context
    monkeypatch.setattr(signing_module, "_context", lambda *given: begun.append(given) or make(*given))
    signing, reader = Signing(key_of(one), Credentials()), CredentialReader(one.root)
    with ThreadPoolExecutor(8) as pool:
        signed = list(pool.map(lambda n: signing.sign(encoded(), "image/jpeg", MAKING, EDITS).data, range(48)))
        verdicts = set(pool.map(lambda data: reader.read(data).verdict, signed))
    assert (len(begun), verdicts, len(set(signed))) == (1, {Verdict.TRUSTED}, 48)


def _sign_in_child(signing: Signing, pipe: Any) -> None:
    pipe.send(signing.sign(encoded(), "image/jpeg", MAKING, EDITS).data)
    pipe.close()
    os._exit(0)  # what else the process of the tests has loaded need not end well in a fork


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_another_process_signs_too(one: Made, method: str) -> None:
    signing = Signing(key_of(one), Credentials())
    signing.sign(encoded(), "image/jpeg", MAKING, EDITS)
    context: Any = multiprocessing.get_context(method)
    here, there = context.Pipe()
    held = threading.Event()
    if method == "fork":  # while another thread holds the lock
        lock = signing_module._CONTEXTS._lock
        threading.Thread(target=lambda: (lock.acquire(), held.set(), time.sleep(1), lock.release())).start()
        held.wait()
    child = context.Process(target=_sign_in_child, args=(signing, there))
    child.start()
    assert here.poll(60)
    assert read(here.recv(), one.root).verdict == Verdict.TRUSTED
    child.join(30)
    assert child.exitcode == 0
    assert read(signing.sign(encoded(), "image/jpeg", MAKING, EDITS).data, one.root).verdict == Verdict.TRUSTED


def test_a_file_that_is_none_is_one_failure(one: Made) -> None:
    with pytest.raises(CredentialsFailed) as caught:
        Signing(key_of(one), Credentials()).sign(b"hello", "image/jpeg", MAKING, EDITS)
    assert (caught.value.reason, caught.value.final) == (Reason.CREDENTIALS_FAILED, False)


@pytest.fixture
def tsa(tmp_path: Path) -> Iterator[Authority]:
    with authority(tmp_path) as state:
        yield state


def stamped(one: Made, url: str, timestamp: str = "wanted") -> Any:
    credentials = Credentials(timestamp_url=url, timestamp=timestamp)  # type: ignore[arg-type]
    return Signing(key_of(one), credentials).sign(encoded(), "image/jpeg", MAKING, EDITS)


def test_a_time_stamp_is_in_the_file(one: Made, tsa: Authority) -> None:
    signed = stamped(one, tsa.url)
    found = read(signed.data, one.root)
    assert (signed.note, found.verdict, tsa.asked) == ("", Verdict.TRUSTED, 1)
    assert found.signed_at.startswith(time.strftime("%Y-"))


@pytest.mark.parametrize("timestamp", ["wanted", "required"])
def test_an_authority_is_asked_again(one: Made, tsa: Authority, timestamp: str) -> None:
    tsa.failing = 2
    signed = stamped(one, tsa.url, timestamp)
    assert (signed.note, tsa.asked) == ("", 3)
    assert read(signed.data).signed_at


def test_without_an_answer_it_is_signed_without_and_said(one: Made, tsa: Authority) -> None:
    tsa.failing = 100
    signed = stamped(one, tsa.url)
    found = read(signed.data, one.root)
    assert (found.verdict, found.signed_at, tsa.asked) == (Verdict.TRUSTED, "", 3)
    assert signed.note.startswith(f"signed without a time stamp of {tsa.url}: ")
    again = stamped(one, tsa.url)  # not asked for every picture while it is away
    assert ("asked again after" in again.note, tsa.asked) == (True, 3)


def test_a_required_time_stamp_is_the_files_failure(one: Made, tsa: Authority) -> None:
    tsa.failing = 100
    with pytest.raises(CredentialsFailed, match="no time stamp of http") as caught:
        stamped(one, tsa.url, "required")
    assert (tsa.asked, caught.value.final) == (4, False)
    signing_module._CONTEXTS.forget()
    tsa.failing = 0
    assert read(stamped(one, tsa.url, "required").data).signed_at


def test_nobody_listens(one: Made) -> None:
    assert "signed without a time stamp" in stamped(one, "http://127.0.0.1:9/").note
