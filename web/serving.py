"""Gunicorn, started from code: one service, on loopback unless told otherwise."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from credentials.errors import ConfigurationInvalid, FileUnreadable, PortInUse

from .keyfiles import TLS_FILES

PATIENCE: Final = 10
"""Seconds that a silent connection is kept while a request is incomplete."""


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, factory: Callable[[], Any], settings: dict[str, Any]) -> None:
        self._factory = factory
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._factory()


def serve(
    app_factory: Callable[[], Any],
    *,
    name: str,
    url: str,
    host: str = "127.0.0.1",
    port: int | None = None,
    certificate: str | Path | None = None,
    key: str | Path | None = None,
    data: Path | None = None,
    workers: int = 2,
    threads: int = 4,
    patience: int = PATIENCE,
) -> None:
    """Serve until SIGTERM or SIGINT; prints ``bauhinia NAME: listening on URL`` once the port is open.

    ``app_factory`` runs in every worker, after the fork. No access log is kept. Requests are capped in line,
    header and time; a client that drips single bytes is a matter for a proxy in front. What is left out is
    taken from ``url`` (port) and, where that is https, from ``data`` (``tls/server.crt`` and ``.key``).
    """
    site = urlsplit(url)
    if (certificate is None) != (key is None):
        raise ConfigurationInvalid("a TLS certificate and its key go together", hint="--tls-cert, --tls-key")
    if site.scheme == "https" and certificate is None and data is not None:
        certificate, key = (data / name for name in TLS_FILES)
    if port is None:
        port = site.port or (443 if site.scheme == "https" else 80)
    for file in (certificate, key):
        if file is not None and not Path(file).is_file():
            raise FileUnreadable(
                f"there is no file {file}",
                hint="Give --tls-cert and --tls-key, or run `init` again with a --trust that has `tls/`.",
            )

    _probe(host, port)

    def ready(server: Any) -> None:
        # Accepted connections inherit it (Linux): a silent client gives its thread back.
        for listener in server.LISTENERS:
            listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", patience, 0))
        click.echo(f"bauhinia {name}: listening on {url}")

    settings: dict[str, Any] = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": workers,
        "threads": threads,
        "worker_class": "gthread",
        "timeout": 30,
        "graceful_timeout": 10,
        "keepalive": 5,
        "limit_request_line": 8190,
        "limit_request_fields": 50,
        "limit_request_field_size": 16380,
        # Nobody's word on who the client is or which scheme it used.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "header_map": "drop",
        "accesslog": None,
        "loglevel": "warning",
        "proc_name": f"bauhinia-{name}",
        "control_socket_disable": True,
        "when_ready": ready,
        "umask": 0o077,
    }
    if certificate is not None and key is not None:
        settings["certfile"], settings["keyfile"] = str(certificate), str(key)
    _Server(app_factory, settings).run()


def _probe(host: str, port: int) -> None:
    """Bind once and let go, so that a port that is taken is one message and not gunicorn's ten."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As gunicorn binds: what a stopped server left behind in TIME_WAIT is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                raise PortInUse(f"port {port} of {host} is in use") from None
            raise ConfigurationInvalid(
                f"cannot listen on port {port} of {host}", hint="Choose another --host or --port."
            ) from None
