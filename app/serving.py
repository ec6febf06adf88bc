"""Start the page on this machine: loopback only, and the address said once it answers."""

from __future__ import annotations

import socket
import time
from typing import Any

from engine.values import Invalid

ADDRESS = "127.0.0.1"
FIRST_PORT = 5006


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def serve(port: int | None, show: bool) -> int:
    """Serve until Ctrl-C."""
    begun = time.monotonic()
    if port is not None and not 0 < port < 65536:
        raise Invalid(f"port: got {port}; give a number from 1 to 65535")
    if port is not None and not free(port):
        raise Invalid(f"port {port} is in use; choose another with --port")
    chosen = port or next(number for number in range(FIRST_PORT, FIRST_PORT + 1000) if free(number))

    import panel as pn

    from app import store
    from app.delivery import ROUTES
    from app.page import make

    store.begin()
    server: Any = pn.serve(
        {"app": make},
        port=chosen,
        address=ADDRESS,
        websocket_origin=[f"{ADDRESS}:{chosen}", f"localhost:{chosen}"],
        title="Rainloom",
        extra_patterns=ROUTES,
        start=False,
        show=False,
        verbose=False,
    )
    server.start()
    ready = f"ready in {time.monotonic() - begun:.1f} s; Ctrl-C stops it, runs are kept"
    print(f"Rainloom is at http://{ADDRESS}:{chosen}/app  ({ready})", flush=True)
    if show:
        server.show("/app")
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        server.stop()
    return 0
