"""The walls that every test stands inside."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80)])
def test_connect_to_another_machine_fails(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as client, pytest.raises(RuntimeError, match="reached for the network"):
        client.connect(address)


def test_sendto_another_machine_fails() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, pytest.raises(RuntimeError, match="reached for the network"):
        client.sendto(b"x", ("192.0.2.1", 53))


def test_name_of_another_machine_is_not_looked_up() -> None:
    with pytest.raises(RuntimeError, match="asked for the address"):
        socket.create_connection(("example.org", 80))


def test_connect_to_this_machine_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_home_is_empty_and_codex_is_not_set() -> None:
    assert list(Path.home().iterdir()) == []
    assert not [name for name in os.environ if name.startswith("CODEX_")]
