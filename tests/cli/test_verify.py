"""``antiphon verify`` looking at a server without a proxy in front."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from tests.server.house import open_house

from antiphon.cli.deployment import address, look_at

HERE = (ip_network("127.0.0.0/8"),)


@pytest.mark.real_time
async def test_a_server_on_this_machine_is_told_as_it_is() -> None:
    async with open_house(operator_token="for operators only", metrics_networks=HERE) as house:
        found = {finding.about: finding async for finding in look_at(address(house.http), http_port=80)}
    assert {about for about, finding in found.items() if finding.level == "fail"} == set()
    # Read by this machine, as the settings have it: no door that strangers find open.
    assert "open to this machine" in found["operators"].text
    assert "HSTS" not in found["headers"].text
