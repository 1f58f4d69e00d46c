"""Bearer tokens, kept as digests, from an environment variable and from a file that may change."""

from __future__ import annotations

import codecs
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from p2i_ray.config.serve import ServeConfig
from p2i_ray.errors import UserError

RACY_S = 2.0  # a file changed so recently may change again within one tick of its clock


class Tokens:
    """The accepted tokens. Holds digests only, so it may be sent to another process and logged.

    Attributes:
        made: the token made at start because none was given; print it once. It isn't pickled.
    """

    def __init__(self, tokens: Iterable[str] = (), file: str | None = None) -> None:
        """Tokens given, and those in a file: one a line; empty lines and lines that begin with # are ignored.

        Raises:
            UserError: the file can't be read.
        """
        self.made: str | None = None
        self._given = {digest(token) for token in tokens}
        self._file = Path(file).expanduser().resolve() if file else None
        self._in_file: set[bytes] = set()
        self._seen: tuple[int, ...] | None = None
        if self._file is not None:
            try:
                self._in_file = _read(self._file)
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(
                    f"serve.token_file {file} can't be read ({type(error).__name__}); write one token a line into it"
                ) from None

    @classmethod
    def from_settings(cls, settings: ServeConfig, environment: Mapping[str, str] = os.environ) -> Tokens:
        """The tokens of the settings' variable and file; with neither, one is made.

        Raises:
            UserError: the file can't be read.
        """
        given = [token.strip().strip("\ufeff") for token in environment.get(settings.token_env, "").split(",")]
        given = [token for token in given if token]
        if given or settings.token_file:
            return cls(given, settings.token_file)
        made = secrets.token_urlsafe(24)
        tokens = cls([made])
        tokens.made = made
        return tokens

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "made": None}

    def client(self, token: str | bytes) -> bytes | None:
        """The digest of an accepted token, none for any other; compared in constant time."""
        given, found = digest(token), False
        for known in self._given | self._current():
            found |= secrets.compare_digest(given, known)
        return given if found else None

    def _current(self) -> set[bytes]:
        """The file's tokens now; none while the file can't be read."""
        if self._file is None:
            return set()
        try:
            state = self._file.stat()
            seen = (state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino)
            if seen != self._seen:
                self._in_file = _read(self._file)
                self._seen = seen if time.time() - state.st_mtime > RACY_S else None
        except (OSError, UnicodeDecodeError):
            self._in_file, self._seen = set(), None
        return self._in_file


def digest(token: str | bytes) -> bytes:
    """SHA-256 of a token; one from the environment may hold bytes that are not UTF-8."""
    return hashlib.sha256(token if isinstance(token, bytes) else token.encode("utf-8", "surrogateescape")).digest()


def bearer(header: str | None) -> bytes | None:
    """The token of an Authorization header, none if it isn't `Bearer TOKEN`."""
    scheme, _, token = (header or "").strip().partition(" ")
    token = token.strip()
    return token.encode("latin-1") if scheme.lower() == "bearer" and token else None


def _read(file: Path) -> set[bytes]:
    content = file.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    lines = (line.strip() for line in content.decode(encoding).splitlines())  # Windows writes both
    return {digest(line) for line in lines if line and not line.startswith("#")}
