"""A real OpenStack Swift with its S3 interface on free ports of 127.0.0.1, in one folder, without root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers import Processes, S3Server, free_ports, missing, program, require, started

KEY, SECRET = "test:tester", "testing"
KINDS = ("account", "container", "object")

# What a request passes on its way to the proxy, and the settings of each filter.
FILTERS: dict[str, dict[str, str]] = {
    "catch_errors": {},
    "gatekeeper": {},
    "healthcheck": {},
    "cache": {"use": "egg:swift#memcache"},
    "listing_formats": {},
    "bulk": {},
    "s3api": {"s3_acl": "false", "location": "us-east-1", "dns_compliant_bucket_names": "true"},
    "tempauth": {f"user_{KEY.replace(':', '_')}": f"{SECRET} .admin"},
    "copy": {},
    "slo": {"min_segment_size": "1"},
    "dlo": {},
    "versioned_writes": {"allow_versioned_writes": "true"},
    "symlink": {},
}

RINGS = """
import sys
from swift.common.ring import RingBuilder
folder = sys.argv[1]
for kind, port in zip(("account", "container", "object"), sys.argv[2:]):
    ring = RingBuilder(4, 1, 1)
    ring.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1",
                  "weight": 100.0, "replication_ip": "127.0.0.1", "replication_port": int(port), "meta": ""})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{kind}.ring.gz")
"""

Sections = dict[str, dict[str, str]]


def proxy_sections(memcached_port: int) -> Sections:
    """The proxy server's file, without its [DEFAULT]."""
    sections: Sections = {
        "pipeline:main": {"pipeline": " ".join([*FILTERS, "proxy-server"])},
        "app:proxy-server": {
            "use": "egg:swift#proxy",
            "allow_account_management": "true",
            "account_autocreate": "true",
        },
    }
    for name, settings in FILTERS.items():
        sections[f"filter:{name}"] = {"use": f"egg:swift#{name}", **settings}
    sections["filter:cache"]["memcache_servers"] = f"127.0.0.1:{memcached_port}"
    return sections


def storage_sections(kind: str) -> Sections:
    """The file of the account, container or object server, without its [DEFAULT]."""
    return {
        "pipeline:main": {"pipeline": f"{kind}-server"},
        f"app:{kind}-server": {"use": f"egg:swift#{kind}"},
    }


def defaults(root: Path, port: int) -> dict[str, str]:
    return {
        "bind_ip": "127.0.0.1",
        "bind_port": str(port),
        "workers": "0",
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "swift_dir": str(root),
        "devices": str(root / "disk"),
        "mount_check": "false",
        "disable_fallocate": "true",
        "recon_cache_path": str(root / "cache"),
        "log_level": "WARNING",
        "log_address": str(root / "no-syslog"),
    }


def write_conf(path: Path, sections: Sections) -> None:
    lines: list[str] = []
    for name, settings in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in settings.items()), ""]
    path.write_text("\n".join(lines))


def configure(root: Path, ports: Sequence[int]) -> None:
    """Write rings and configuration for account, container, object, proxy and memcached ports."""
    for folder in ("disk/d1", "cache"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    hashes = {"swift_hash_path_prefix": "packshot", "swift_hash_path_suffix": "tests"}
    write_conf(
        root / "swift.conf",
        {"swift-hash": hashes, "storage-policy:0": {"name": "only", "default": "yes"}},
    )
    for kind, port in zip(KINDS, ports, strict=False):
        write_conf(root / f"{kind}.conf", {"DEFAULT": defaults(root, port), **storage_sections(kind)})
    write_conf(root / "proxy.conf", {"DEFAULT": defaults(root, ports[3]), **proxy_sections(ports[4])})
    done = subprocess.run(
        [sys.executable, "-c", RINGS, str(root), *map(str, ports[:3])], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"the rings were not built\n{done.stderr}")


def launch(root: Path, processes: Processes) -> S3Server:
    """Start the five processes; an empty store each time."""
    shutil.rmtree(root / "disk", ignore_errors=True)
    ports = free_ports(5)
    configure(root, ports)
    user = pwd.getpwuid(os.geteuid()).pw_name
    cache = ["-l", "127.0.0.1", "-p", str(ports[4]), "-U", "0", "-m", "16", "-u", user]
    processes.start("memcached", [require("memcached"), *cache])
    for kind in (*KINDS, "proxy"):
        processes.start(kind, [program(f"swift-{kind}-server"), str(root / f"{kind}.conf"), "-v"])
    return S3Server(f"http://127.0.0.1:{ports[3]}", KEY, SECRET, processes.tail)


def keeps_attributes(folder: Path) -> bool:
    """Whether files there can have extended attributes, where Swift keeps an object's metadata."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            os.setxattr(probe.name, "user.packshot", b"1")
    except OSError:
        return False
    return True


@contextmanager
def swift(folder: Path) -> Iterator[S3Server]:
    """Swift in `folder`, or elsewhere when that has no extended attributes; skips when a part is missing."""
    require("memcached")
    program("swift-proxy-server")
    places = (folder, Path("/var/tmp"), Path.home(), Path("/dev/shm"))
    place = next((each for each in places if each.is_dir() and keeps_attributes(each)), None)
    if place is None:
        missing("Swift needs a file system with extended attributes")
    root = Path(tempfile.mkdtemp(prefix="packshot-swift-", dir=place))
    try:
        with started(folder, lambda processes: launch(root, processes)) as server:
            yield server
    finally:
        shutil.rmtree(root, ignore_errors=True)
