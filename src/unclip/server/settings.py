"""What an operator sets."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from unclip.engine.process import Choice

Compat = Literal["lenient", "strict"]
PolicyMode = Literal["off", "flag", "block"]


@dataclass(frozen=True)
class Settings:
    """One server. Everything that it keeps lies under `home`, unless `database` or `store` say otherwise."""

    home: Path
    database: str  # an SQLAlchemy URL of SQLite or PostgreSQL
    store: str  # a folder, or any URL that fsspec knows
    devices: tuple[str, ...] = ("auto",)  # one process draws on each
    choice: Choice = field(default_factory=Choice)
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None  # as clients see it; None: as their requests name it
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded headers are believed
    compat: Compat = "lenient"  # strict: refuse what the DALL-E 2 API refused
    alias: bool = True  # answer to the name dall-e-2
    slots: int = 8  # jobs drawn at once, by each process
    queue_limit: int = 200  # jobs waiting
    cors: tuple[str, ...] = ()  # origins whose pages may call
    sign: bool = True  # put a C2PA manifest into every picture
    certificate: Path | None = None  # of the operator, with its chain; None: of this server's own authority
    certificate_key: Path | None = None
    visible_signature: bool = False
    omit_prompt: bool = False  # from pictures' metadata
    policy: PolicyMode = "flag"
    moderation_url: str | None = None
    moderation_key: str | None = None
    insecure: bool = False  # serve a public address without keys
    keep_days: float | None = None  # that pictures and jobs are kept; None: for ever

    def choices(self) -> list[Choice]:
        """Return what each process draws with."""
        own = self.home / "policy" / "concepts.toml"
        concepts = own if self.policy != "off" and own.exists() else None
        block = self.policy == "block"
        return [replace(self.choice, device=name, concepts=concepts, block=block) for name in self.devices]


LOOPBACK = ("127.0.0.1", "::1", "localhost")
