from pathlib import Path

import pytest

from config.embedded.tuning import GIB, MIB, Machine, postgres_configuration


def settings_for(*, memory: int, disk: int = 500 * GIB, shared_memory: int = GIB, lz4: bool = False) -> dict[str, str]:
    machine = Machine(memory_bytes=memory, cores=2, free_disk_bytes=disk, shared_memory_bytes=shared_memory)
    text = postgres_configuration(machine, socket_directory=Path("/run/x"), wal_compression=lz4)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" = ", 1) for line in lines)


@pytest.mark.parametrize(
    ("memory", "expected"), [(256 * MIB, "64MB"), (64 * MIB, "32MB"), (8 * GIB, "2048MB"), (128 * GIB, "4096MB")]
)
def test_shared_buffers_are_a_quarter_of_memory_within_limits(memory: int, expected: str) -> None:
    assert settings_for(memory=memory)["shared_buffers"] == expected


@pytest.mark.parametrize(("disk", "expected"), [(500 * GIB, "8192MB"), (16 * GIB, "2048MB"), (1 * GIB, "256MB")])
def test_the_wal_leaves_room_on_the_disk(disk: int, expected: str) -> None:
    found = settings_for(memory=8 * GIB, disk=disk)
    assert found["max_wal_size"] == expected
    assert int(found["min_wal_size"].removesuffix("MB")) <= int(expected.removesuffix("MB"))


def test_a_small_shared_memory_device_is_not_used() -> None:
    assert settings_for(memory=GIB, shared_memory=64 * MIB)["dynamic_shared_memory_type"] == "mmap"
    assert settings_for(memory=GIB)["dynamic_shared_memory_type"] == "posix"


def test_durability_is_never_traded_and_there_is_no_tcp() -> None:
    found = settings_for(memory=GIB, lz4=True)
    assert {found[name] for name in ("fsync", "synchronous_commit", "full_page_writes")} == {"on"}
    assert found["listen_addresses"] == "''"
    assert found["wal_compression"] == "lz4"


def test_this_machine_can_be_measured(tmp_path: Path) -> None:
    machine = Machine.here(tmp_path)
    assert machine.memory_bytes > 64 * MIB
    assert machine.cores >= 1
