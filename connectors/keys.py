"""Which delivery a sender's key belongs to: a link for each key of an account, durable before the delivery is seen."""

import hashlib
from pathlib import Path

from connectors.durable import ensure_folder, sync_folder


class Keys:
    """Links in ``folder``; whoever reads and then sets one holds the claim under which deliveries appear."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ensure_folder(folder)

    def delivery_of(self, account: str, key: str) -> str | None:
        """The delivery that was to land under the key; after a crash it may not have."""
        try:
            return str(self._link(account, key).readlink())
        except FileNotFoundError:
            return None

    def give(self, account: str, key: str, delivery: str) -> None:
        """Let the key name the delivery from now on, durably."""
        self.note(account, key, delivery)
        sync_folder(self._folder)

    def note(self, account: str, key: str, delivery: str) -> None:
        """The same for as long as the system runs; a record of the spool's journal tells it, too."""
        link = self._link(account, key)
        link.unlink(missing_ok=True)
        link.symlink_to(delivery)

    def _link(self, account: str, key: str) -> Path:
        # A key may be any text; an account's name holds no NUL.
        return self._folder / hashlib.sha256(f"{account}\0{key}".encode()).hexdigest()
