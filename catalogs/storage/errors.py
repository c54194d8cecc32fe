"""What the errors of disks, fsspec, s3fs and botocore mean: told by type, code and status, never by text."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from catalogs.errors import one_line
from catalogs.storage.local_files import NotAFile

_SECRET_OPTION = re.compile(r"key|secret|token|passw|sas|credential|connection_string", re.IGNORECASE)
_SECRET_ENV = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_NO_CREDENTIALS = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "NoAuthTokenError",
        "TokenRetrievalError",
        "SSOTokenLoadError",
        "UnauthorizedSSOTokenError",
    }
)
FILE_FOR_FOLDER = ("a file is in the place of a folder", "move it, or choose another folder")
_FULL = "free some space, then run again: what is committed stays"
_TOLD = {
    errno.ENAMETOOLONG: ("the path is too long", "give a shorter one"),
    errno.ELOOP: ("is a link that leads back to itself, not a file", "give a file"),
    errno.ENOSPC: ("the disk is full", _FULL),
    errno.EDQUOT: ("the disk quota is used up", _FULL),
}


@dataclass(frozen=True)
class Answer:
    """An S3 server's error answer: its code and HTTP status, "" and 0 where there was none."""

    code: str = ""
    status: int = 0
    message: str = ""


def answer_of(error: BaseException) -> Answer:
    """The server's answer behind an error, at any depth of its chain."""
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        if isinstance(response, Mapping):
            detail = response.get("Error", {})
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return Answer(str(detail.get("Code", "")), int(status), str(detail.get("Message", "")))
        cause = cause.__cause__ or cause.__context__
    return Answer()


def is_foreign(error: Exception) -> bool:
    """Errors of libraries and of the system; a bug of ours (TypeError, KeyError ...) stays what it is."""
    library = type(error).__module__.partition(".")[0] not in {"builtins", "catalogs"}
    return library or isinstance(error, OSError | ValueError | EOFError | ImportError | RuntimeError)


def mendable(error: Exception, reason: str) -> tuple[str, str] | None:
    """Problem and fix of an error that the user can mend."""
    answer = answer_of(error)
    if {kind.__name__ for kind in type(error).__mro__} & _NO_CREDENTIALS:
        return reason, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if answer.code in {"NoSuchBucket", "InvalidBucketName"}:
        return "the bucket does not exist", "create it, or correct its name"
    if answer.status in {401, 403}:
        fix = "check the credentials, and that they may list, read and write this bucket"
        return f"access was refused ({reason})", fix
    if answer.status == 301 or answer.code == "AuthorizationHeaderMalformed":
        return f"the bucket is in another region ({reason})", "set AWS_DEFAULT_REGION"
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
        return f"permission was denied ({reason})", "allow this user to read and write there"
    if isinstance(error, NotADirectoryError):
        return FILE_FOR_FOLDER
    if isinstance(error, NotAFile):
        return f"is {error.strerror}", "give a file"
    if (told := _TOLD.get(getattr(error, "errno", None) or 0)) is not None:
        return told
    if type(error).__name__ == "ParamValidationError":
        return "the bucket's name is not valid", "correct it"
    return None


def reason_of(error: Exception, secrets: Iterable[str]) -> str:
    """One line without secrets."""
    answer = answer_of(error)
    if answer.code:
        text = f"{answer.code}: {answer.message}" if answer.message else answer.code
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = str(error) or type(error).__name__
    for secret in secrets:
        text = text.replace(secret, "***")
    return one_line(text)[:300]


def secrets_of(options: Mapping[str, Any]) -> list[str]:
    """Values that must not appear in a message: from storage options and the environment."""
    found = [os.environ.get(name, "") for name in _SECRET_ENV]
    for name, value in options.items():
        if isinstance(value, Mapping):
            found += secrets_of(value)
        elif isinstance(value, str) and _SECRET_OPTION.search(name):
            found.append(value)
    return [secret for secret in found if secret]
