"""Where the app is reached, and what must be shown there."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote


@dataclass(frozen=True)
class Address:
    """Where the app is reached.

    Args:
        host: what it binds.
        port: likewise.
        token: what must be shown; None on this machine alone, where none is needed.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    token: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> str:
        """Scheme, host and port, as a browser on this machine writes them."""
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}"

    @property
    def url(self) -> str:
        """What a person opens."""
        return f"{self.origin}/?token={quote(self.token, safe='')}" if self.token else self.origin

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends along."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}
