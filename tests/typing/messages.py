"""Packets and datagrams, for type checkers: see `service`. Never run."""

from __future__ import annotations

from typing import assert_type

import afunix


async def packets() -> None:
    async with afunix.listen_packets("./packets.sock") as listener:
        async with await afunix.connect_packets("./packets.sock", timeout=1) as client:
            await client.send(b"")
            await client.send_fds(b"one", [0])
        async with await listener.accept() as server:
            assert_type(server, afunix.PacketStream)
            assert_type(await server.receive(), bytes)
            async for packet in server:
                assert_type(packet, bytes)
            assert_type(server.peer.uid, int)


async def datagrams() -> None:
    async with afunix.open_datagrams("./datagrams.sock", mode=0o622) as sock:
        datagram = await sock.receive()
        assert_type(datagram, afunix.Datagram)
        assert_type(datagram.data, bytes)
        assert_type(datagram.sender, afunix.Address)
        assert_type(datagram.peer, afunix.PeerCredentials | None)
        await sock.send(b"answer", datagram.sender)
        async for each in sock:
            assert_type(each, afunix.Datagram)
