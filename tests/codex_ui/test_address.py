"""Where the app is, as browsers and programs write it."""

from __future__ import annotations

import pytest

from codex_ui.address import Address


@pytest.mark.parametrize(
    ("host", "origin"),
    [("127.0.0.1", "http://127.0.0.1:7860"), ("localhost", "http://localhost:7860"), ("0.0.0.0", "http://127.0.0.1:7860"),
     ("::", "http://[::1]:7860"), ("::1", "http://[::1]:7860"), ("192.168.1.7", "http://192.168.1.7:7860")],
)  # fmt: skip
def test_origin_is_what_a_browser_on_this_machine_writes(host: str, origin: str) -> None:
    assert Address(host).origin == origin
    assert Address(host).url == origin


def test_token_is_in_the_address_to_open_and_in_no_repr() -> None:
    address = Address("0.0.0.0", 80, "a~b.c-d_e")
    assert address.url == "http://127.0.0.1:80/?token=a~b.c-d_e"
    assert address.headers == {"Authorization": "Bearer a~b.c-d_e"}
    assert "a~b" not in repr(address)
    assert Address().headers == {}
