"""Where an instance of the local services keeps its files, and under which account its servers run."""

import os
import pwd
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from config.embedded.errors import EmbeddedError

CHECKOUT = Path(__file__).resolve().parents[2]

# sun_path holds 107 bytes and a NUL (unix(7)); the longest name below the run directory is ".s.PGSQL.5432.lock".
SOCKET_PATH_BYTES = 107 - len("/.s.PGSQL.5432.lock")

# Postgres refuses to run as root. initdb wants an account that the passwd database knows; these exist everywhere.
UNPRIVILEGED_ACCOUNTS = ("nobody", "daemon")

ROOT_STATE = Path("/var/tmp")  # noqa: S108  (what we make in it has mode 0710, and is refused unless it is ours)


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int


@dataclass(frozen=True)
class Place:
    """
    The directories of one instance.

    Args:
        home: `.local` of the checkout: belongs to the person, holds the instance id, locks and logs.
        instance: random id; a deleted `.local` therefore is a new instance.
        state: the servers' data. For root a directory of its own, because an unprivileged account may be unable to
            enter the checkout (think of /root), and opening somebody's directories to it is not ours to do.
        run: the sockets; a path short enough for them.
        account: what the servers run as; None for the person's own account.
    """

    home: Path
    instance: str
    state: Path
    run: Path
    account: Account | None

    @property
    def control(self) -> Path:
        return (self.state if self.account else self.run) / "control"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def lease(self) -> Path:
        return self.home / "lease"

    def is_current(self) -> bool:
        """Whether `home` still is this instance's; not when somebody deleted it, or deleted and made it again."""
        try:
            return (self.home / "instance").read_text().strip() == self.instance
        except OSError:
            return False


def home_directory() -> Path:
    """`.local` of the checkout, or SLUICE_LOCAL_DIR."""
    return Path(os.environ.get("SLUICE_LOCAL_DIR") or CHECKOUT / ".local").absolute()


def place_open(home: Path) -> Place:
    """
    Find the instance of `home`; the first call makes its id.

    Raises:
        EmbeddedError: `home` belongs to someone else.
    """
    try:
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        instance = _instance_id(home / "instance")
    except PermissionError as error:
        raise EmbeddedError(f"{home} cannot be written by uid {os.getuid()}: {error.strerror}") from error
    owner = (home / "instance").stat().st_uid
    if owner != os.getuid():
        raise EmbeddedError(f"{home} was made by uid {owner}: run this as that user, or set SLUICE_LOCAL_DIR")
    if os.getuid() == 0:
        return _place_of_root(home, instance)
    run = home / "run"
    if len(os.fsencode(run)) > SOCKET_PATH_BYTES:
        run = Path(f"/tmp/sluice-{instance}")  # noqa: S108  (made with mode 0700, and refused unless it is ours)
    return Place(home=home, instance=instance, state=home, run=run, account=None)


def place_prepare(place: Place) -> None:
    """Make the directories; called by the supervisor only."""
    place.logs.mkdir(exist_ok=True)
    if place.account is None:
        _own_directory(place.run, mode=0o700)
        return
    # Only root and the servers' private group may pass: neither other users nor other daemons that run as `nobody`
    # reach the sockets, which trust whoever can open them.
    _own_directory(place.state, mode=0o710, group=place.account.gid)
    _write_origin(place)
    _own_directory(place.run, mode=0o770, owner=place.account.uid, group=place.account.gid)


def places_abandoned() -> list[Place]:
    """Root's instances on this machine whose `.local` was deleted while nobody was there to notice."""
    found = []
    for origin in ROOT_STATE.glob("sluice-*/origin"):
        if origin.stat().st_uid != os.getuid():
            continue
        node, _, home = origin.read_text().partition("\n")
        # A container may share the directory with another one that has the `.local`.
        if node != os.uname().nodename or not Path(home).is_absolute():
            continue
        place = _place_of_root(Path(home), origin.parent.name.removeprefix("sluice-"))
        if not place.is_current():
            found.append(place)
    return found


def place_remove(place: Place) -> None:
    """Remove the data of a stopped instance."""
    directories = [place.run, *(place.state / name for name in ("postgres", "postgres.new", "redis", "kafka"))]
    for directory in directories if place.state == place.home else [place.state]:
        shutil.rmtree(directory, ignore_errors=True)


def _write_origin(place: Place) -> None:
    (place.state / "origin").write_text(f"{os.uname().nodename}\n{place.home}")


def _instance_id(path: Path) -> str:
    if not path.exists():
        draft = path.with_name(f"instance.{os.getpid()}.{secrets.token_hex(4)}")
        draft.write_text(secrets.token_hex(6))
        try:
            os.link(draft, path)  # atomic: of several first commands exactly one names the instance
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def _place_of_root(home: Path, instance: str) -> Place:
    state = ROOT_STATE / f"sluice-{instance}"
    return Place(home=home, instance=instance, state=state, run=state / "run", account=_account(instance))


def _account(instance: str) -> Account:
    for name in UNPRIVILEGED_ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        # A group id that no account has: from 2^30 up, distributions and login services hand out none.
        return Account(uid=found.pw_uid, gid=(1 << 30) + int(instance, 16) % (1 << 24))
    raise EmbeddedError(f"Postgres does not run as root, and none of {', '.join(UNPRIVILEGED_ACCOUNTS)} exists here")


def _own_directory(path: Path, *, mode: int, owner: int | None = None, group: int | None = None) -> None:
    owner = os.getuid() if owner is None else owner
    try:
        path.mkdir(mode=0o700)
        os.chown(path, owner, -1 if group is None else group)
        path.chmod(mode)
    except FileExistsError:
        found = path.lstat()
        if path.is_symlink() or found.st_uid != owner:
            raise EmbeddedError(f"{path} exists and is not ours (uid {found.st_uid})") from None
