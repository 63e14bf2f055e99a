"""Key files: PEM in, :class:`Signer` out, and files that only their owner may read."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from credentials.encoding import load_json
from credentials.errors import ConfigurationInvalid, FileUnreadable
from credentials.keys import PublicKey, Signer, software_sign

TLS_FILES: Final = ("tls/server.crt", "tls/server.key")
"""Where a party keeps its TLS certificate and key, below its data folder."""


def read_file(path: str | Path) -> bytes:
    """The bytes of a file. Raises :class:`FileUnreadable`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FileUnreadable(f"cannot read {path}: {error.strerror}") from None


def read_private_file(path: str | Path) -> bytes:
    """As :func:`read_file`, and nobody but the owner may have access to it (0600 or stricter)."""
    data = read_file(path)
    if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
        raise ConfigurationInvalid(f"others can read {path}", hint=f"chmod 600 {path}")
    return data


def write_private_file(path: str | Path, data: bytes) -> None:
    """Write ``data`` whole or not at all, readable by the owner alone (0600)."""
    replace_file(path, data, mode=0o600)


def replace_file(path: str | Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put ``data`` in the place of the file at ``path`` in one step that survives a crash."""
    target = Path(path)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise FileUnreadable(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def whole_or_nothing(folder: Path, names: Collection[str]) -> Generator[None, None, None]:
    """What the block makes in ``folder`` under ``names`` (patterns) is removed again should the block fail.

    What stood there before stays, and so does everything of another name: the folder may be anybody's.
    """
    was_there = folder.exists()
    before = set(_under(folder, names))
    try:
        yield
    except BaseException:
        for path in sorted(set(_under(folder, names)) - before, reverse=True):
            with suppress(OSError):
                path.unlink() if path.is_symlink() or not path.is_dir() else path.rmdir()
        if not was_there:
            with suppress(OSError):
                folder.rmdir()
        raise


def _under(folder: Path, names: Collection[str]) -> Iterator[Path]:
    for name in names:
        for path in folder.glob(name):
            yield path
            if path.is_dir() and not path.is_symlink():
                yield from path.rglob("*")


def load_private_key(path: str | Path) -> ec.EllipticCurvePrivateKey:
    """A P-256 private key in PEM, unencrypted, in a file of mode 0600."""
    try:
        key = load_pem_private_key(read_private_file(path), password=None)
    except (ValueError, TypeError):
        raise ConfigurationInvalid(f"{path} is not a private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationInvalid(f"{path} is not a P-256 key")
    return key


def load_chain(path: str | Path) -> tuple[bytes, ...]:
    """The certificates of a PEM file in DER, leaf first; a self-signed one (the anchor) is left out."""
    try:
        certificates = x509.load_pem_x509_certificates(read_file(path))
    except ValueError:
        raise ConfigurationInvalid(f"{path} holds no certificates in PEM") from None
    return tuple(c.public_bytes(Encoding.DER) for c in certificates if c.issuer != c.subject)


def load_signer(certificate: str | Path, key: str | Path) -> Signer:
    """What signs: the chain of ``certificate`` and the key that belongs to its leaf."""
    chain = load_chain(certificate)
    private = load_private_key(key)
    if not chain:
        raise ConfigurationInvalid(f"{certificate} holds only a self-signed certificate")
    public = x509.load_der_x509_certificate(chain[0]).public_key()
    if public != private.public_key():
        raise ConfigurationInvalid(f"{key} does not belong to {certificate}")
    return Signer(software_sign(private), chain)


def load_public_jwk(path: str | Path) -> PublicKey:
    """A public key in a JWK file, such as the pinned root of the trust list."""
    return PublicKey.from_jwk(load_json(read_file(path)))
