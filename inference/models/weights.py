"""Where models of ours are kept and what a local checkpoint's weights hash to."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from catalogs.errors import ModelError
from inference.models.whole import header

HASHED_SUFFIXES = (".safetensors", ".json", ".txt", ".jinja")
_HASHES = "weights.json"


def cache_folder() -> Path:
    """`$PACKSHOT_CACHE`, else `~/.cache/packshot`; not created here."""
    return Path(os.environ.get("PACKSHOT_CACHE") or Path.home() / ".cache" / "packshot")


def weights_hash(folder: Path | str) -> str:
    """SHA-256 over the sorted (relative name, SHA-256) of a checkpoint's files that decide its pixels.

    These are weights, configurations, vocabularies and the chat template (`HASHED_SUFFIXES`). A file's
    digest is remembered under the cache folder by path, size and modification time, so a second call reads
    no weights.

    Raises:
        ModelError: the folder is missing, unreadable or holds no weights.
    """
    root = Path(folder)
    try:
        files = sorted(_checkpoint_files(root))
        digests = _file_digests([path for _, path in files])
    except OSError as error:
        raise ModelError(str(root), "", f"cannot be read ({error})", "check the path and its rights") from error
    if not any(name.endswith(".safetensors") for name, _ in files):
        raise ModelError(str(root), "", "holds no .safetensors weights", "name the folder of a diffusers checkpoint")
    total = hashlib.sha256()
    for name, path in files:
        total.update(f"{name}\0{digests[str(path)]}\n".encode())
    return total.hexdigest()


def lora_hash(path: str, source: str) -> str:
    """SHA-256 of a LoRA file that is safe to load.

    Only safetensors: a pickle runs the code that is in it.

    Raises:
        ModelError: no such file, or no safetensors file.
    """
    file = Path(path)
    try:
        problem = _safetensors_problem(file)
        digest = "" if problem else _file_digests([file])[str(file)]
    except OSError as error:
        raise ModelError(source, "model.lora", f"{path} cannot be read ({error.strerror})", "correct it") from None
    if problem:
        raise ModelError(source, "model.lora", f"{path} {problem}", "give a LoRA saved as .safetensors")
    return digest


def _safetensors_problem(file: Path) -> str | None:
    """What is wrong with its header."""
    if file.exists() and not file.is_file():  # a FIFO would never answer
        return "is no file"
    found = header(file)
    if found is None:
        return "is no safetensors file"
    return None if any("lora" in name.lower() for name in found[0]) else "holds no LoRA weights"


def _checkpoint_files(root: Path) -> list[tuple[str, Path]]:
    found = []
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix in HASHED_SUFFIXES and not hidden and path.is_file():
            found.append((relative.as_posix(), path.resolve()))
    return found


def _file_digests(paths: list[Path]) -> dict[str, str]:
    """Digest of each file by its path, from the remembered ones where size and time still agree."""
    remembered = _read_hashes()
    digests, fresh = {}, {}
    for path in paths:
        stat = path.stat()
        key, stamp = str(path), [stat.st_size, stat.st_mtime_ns]
        entry = remembered.get(key)
        if isinstance(entry, list) and entry[:2] == stamp and len(entry) == 3:
            digests[key] = str(entry[2])
            continue
        with path.open("rb") as file:
            digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        fresh[key] = [*stamp, digests[key]]
    if fresh:
        _write_hashes({**remembered, **fresh})
    return digests


def _read_hashes() -> dict[str, object]:
    try:
        hashes = json.loads((cache_folder() / _HASHES).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return hashes if isinstance(hashes, dict) else {}


def _write_hashes(hashes: dict[str, object]) -> None:
    """Replace the memory; without a writable cache folder hashing is only slower."""
    with suppress(OSError):
        keep_json(_HASHES, hashes)


def keep_json(name: str, content: dict[str, Any]) -> None:
    """Replace a file of the cache folder at once.

    Raises:
        OSError: the folder cannot be written, or has no room; what the file held before is kept.
    """
    cache_folder().mkdir(parents=True, exist_ok=True)
    opened, made = tempfile.mkstemp(dir=cache_folder(), prefix=f".{name}-")
    try:
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=0, sort_keys=True)
        os.replace(made, cache_folder() / name)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
