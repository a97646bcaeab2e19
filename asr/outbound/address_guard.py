"""Guards addresses: audio is fetched from hosts on the open internet alone."""

from __future__ import annotations

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

# IANA allocates global unicast addresses from this network alone, RFC 4291 §2.4.
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

# IPv6 networks that carry an IPv4 address inside: RFC 6052 (NAT64), RFC 3056 (6to4),
# RFC 4380 (Teredo), RFC 4291 §2.5.5.1 (IPv4-compatible).
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """Whether `address`, and any IPv4 address inside it, is on the open internet."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64_LOCAL or not all(map(is_public, _embedded(address))):
            return False
        if address in NAT64 or address.ipv4_mapped:
            return True
        if address not in GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class NotPublic(OSError):
    """The host has no address on the open internet."""


class GuardedResolver(AbstractResolver):
    """Resolves names and lets only public addresses through.

    The connector connects to exactly the addresses returned here, so a name that resolves
    differently a moment later (DNS rebinding) changes nothing.
    """

    def __init__(self, resolver: AbstractResolver, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            entries = await self._resolver.resolve(host, port, family)
        except UnicodeError as error:  # a label that is empty, too long or no IDNA
            raise OSError(f"{host} is not a host name") from error
        if self._allow_private:
            return entries
        public = [entry for entry in entries if is_public(parsed_address(entry["host"]))]
        if not public:
            raise NotPublic(host)
        return public

    async def close(self) -> None:
        await self._resolver.close()


def parsed_address(host: str) -> Address:
    """Parse an IP address without its scope; raise `ValueError` where it is none."""
    return ipaddress.ip_address(host.split("%", 1)[0])


def _embedded(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    candidates = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64 or address in IPV4_COMPATIBLE:
        candidates.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [candidate for candidate in candidates if candidate is not None]
