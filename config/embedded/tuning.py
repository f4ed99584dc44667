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
    """
    Contents of postgresql.conf. Settings made by ALTER SYSTEM win over it.

    Args:
        wal_compression: the server was built with lz4.
    """
    memory, disk = machine.memory_bytes, machine.free_disk_bytes
    return f"""\
# Written at every start; make changes with ALTER SYSTEM.

# No TCP: only who may enter the socket's directory gets in.
listen_addresses = ''
unix_socket_directories = '{socket_directory}'
unix_socket_permissions = 0700
# Workers, web processes and tests side by side.
max_connections = 100

# A quarter of the memory, at most 4 GB: the rest serves as page cache.
shared_buffers = {_mib(_between(32 * MIB, memory // 4, 4 * GIB))}
# What the planner may expect to find in both.
effective_cache_size = {_mib(memory * 5 // 8)}
# For each sort and hash of each connection.
work_mem = {_mib(_between(4 * MIB, memory // 512, 64 * MIB))}
# Index builds, VACUUM.
maintenance_work_mem = {_mib(_between(64 * MIB, memory // 16, 1 * GIB))}
# Containers often have a /dev/shm of 64 MB, too small for parallel queries.
dynamic_shared_memory_type = {"posix" if machine.shared_memory_bytes >= 256 * MIB else "mmap"}
max_worker_processes = {max(8, machine.cores)}
max_parallel_workers = {machine.cores}

# Never traded for speed.
fsync = on
synchronous_commit = on
full_page_writes = on

# After a checkpoint the next change of every page writes the whole page to the WAL: have few checkpoints. Bounded by
# the free disk; recovery after a crash reads at most this much.
max_wal_size = {_mib(_between(256 * MIB, disk // 8, 8 * GIB))}
# Recycle WAL files rather than make new ones.
min_wal_size = {_mib(_between(80 * MIB, disk // 64, 1 * GIB))}
checkpoint_timeout = 15min
# The other method, pglz, costs more CPU than the WAL it saves.
wal_compression = {"lz4" if wal_compression else "off"}

# Solid-state disks.
random_page_cost = 1.1
# Statistics of a table that a load has just filled are wanted soon.
autovacuum_naptime = 15s

shared_preload_libraries = 'pg_stat_statements'
track_io_timing = on
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
log_line_prefix = '%m [%p] %q%a %u@%d '
log_lock_waits = on
"""


def _mib(size_bytes: int) -> str:
    return f"{size_bytes // MIB}MB"


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
