"""The secret key of local mode: random, kept in `.local/`."""

import os
import secrets
from pathlib import Path


def local_secret_key(home: Path) -> str:
    """The key kept in `home`, made on first use. Certificates signed with it stay valid as long as `home` exists."""
    path = home / "secret_key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        draft = home / f"secret_key.{os.getpid()}.{secrets.token_hex(4)}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
