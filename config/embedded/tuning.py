"""Postgres settings that fit the machine. Durability is never traded: fsync and synchronous_commit stay on."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30

# Container limits: cgroup v2, then v1.
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Machine:
    """What there is; sizes in bytes."""

    memory_bytes: int
    cores: int
    free_disk_bytes: int
    shared_memory_bytes: int

    @classmethod
    def here(cls, directory: Path) -> "Machine":
        """This machine, or the container's share of it; `directory` is on the disk that counts."""
        return cls(
            memory_bytes=_memory_bytes(),
            cores=_cores(),
            free_disk_bytes=shutil.disk_usage(directory).free,
            shared_memory_bytes=_free_bytes(Path("/dev/shm")),  # noqa: S108  (only measured)
        )


def postgres_configuration(machine: Machine, *, socket_directory: Path, wal_compression: bool) -> str:
    """Contents of postgresql.conf. Settings made by ALTER SYSTEM win over it."""
    memory, mib = machine.memory_bytes, lambda size: f"{size // MIB}MB"
    settings: list[tuple[str, str, str]] = [
        ("listen_addresses", "''", "no TCP: only who may enter the socket's directory gets in"),
        ("unix_socket_directories", f"'{socket_directory}'", ""),
        ("unix_socket_permissions", "0700", ""),
        ("max_connections", "100", "workers, web processes and tests side by side"),
        ("shared_buffers", mib(_between(32 * MIB, memory // 4, 4 * GIB)), "25 % of memory, at most 4 GB: the rest is page cache"),
        ("effective_cache_size", mib(memory * 5 // 8), "what the planner may expect to find in both caches"),
        ("work_mem", mib(_between(4 * MIB, memory // 512, 64 * MIB)), "for each sort and hash of each of 100 connections"),
        ("maintenance_work_mem", mib(_between(64 * MIB, memory // 16, 1 * GIB)), "index builds after a load, VACUUM"),
        ("max_wal_size", mib(_between(256 * MIB, machine.free_disk_bytes // 8, 8 * GIB)),
         "a checkpoint makes every page's next change write the whole page again: have few; bounded by the free disk"),
        ("min_wal_size", mib(_between(80 * MIB, machine.free_disk_bytes // 64, 1 * GIB)), "recycle WAL files, do not re-create them"),
        ("checkpoint_timeout", "15min", "as max_wal_size; recovery after a crash takes seconds all the same"),
        ("wal_compression", "lz4" if wal_compression else "off", "pglz costs more CPU than the WAL it saves"),
        ("fsync", "on", "never traded"),
        ("synchronous_commit", "on", "never traded"),
        ("full_page_writes", "on", "never traded"),
        ("random_page_cost", "1.1", "solid-state disks"),
        ("max_worker_processes", str(max(8, machine.cores)), ""),
        ("max_parallel_workers", str(machine.cores), ""),
        ("autovacuum_naptime", "15s", "statistics of a table that a load has just filled are wanted soon"),
        ("dynamic_shared_memory_type", "posix" if machine.shared_memory_bytes >= 256 * MIB else "mmap",
         "containers often have a /dev/shm of 64 MB, too small for parallel queries"),
        ("shared_preload_libraries", "'pg_stat_statements'", "where the time goes"),
        ("track_io_timing", "on", ""),
        ("timezone", "'UTC'", ""),
        ("log_timezone", "'UTC'", ""),
        ("lc_messages", "'C'", ""),
        ("log_line_prefix", "'%m [%p] %q%a %u@%d '", ""),
        ("log_lock_waits", "on", ""),
    ]
    lines = [f"{name} = {value}" + (f"  # {reason}" if reason else "") for name, value, reason in settings]
    return "# Written at every start; make changes with ALTER SYSTEM.\n" + "\n".join(lines) + "\n"


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))


def _memory_bytes() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *(limit for path in MEMORY_LIMITS if (limit := _limit(path)))])


def _limit(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" = no limit


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0
