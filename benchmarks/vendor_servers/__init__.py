"""Servers on real sockets that speak the vendors' wire formats, with their faults: for tests and benchmarks.

    async with open_vendor_servers(VendorWorld(asr_ms=300, llm_ms=300, tts_ms=200)) as servers:
        servers.world.faults["llm"].append("cut")
        ...   # servers.url + "/v1" is a base URL

One server speaks for all vendors, their paths do not meet. As a process: ``python -m benchmarks.vendor_servers``.
"""

from benchmarks.vendor_servers.serving import VendorServers, open_vendor_servers
from benchmarks.vendor_servers.world import FAULTS, Asked, Fault, VendorWorld

__all__ = ["FAULTS", "Asked", "Fault", "VendorServers", "VendorWorld", "open_vendor_servers"]
