"""What gathered is written as one piece."""

import asyncio

from svc_core.adapters.nats_transport import JoiningTransport


class Recorder(asyncio.Transport):
    """Takes note of each write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take note of it."""
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        """Need no closing."""
        return True


async def test_a_list_is_written_as_one_piece() -> None:
    loop, recorder, transport = asyncio.get_running_loop(), Recorder(), JoiningTransport()
    reader = asyncio.StreamReader()
    transport._io_writer = asyncio.StreamWriter(
        recorder, asyncio.StreamReaderProtocol(reader), reader, loop
    )

    transport.writelines([b"PUB a 1\r\n", b"x\r\n", b"PING\r\n"])

    assert recorder.written == [b"PUB a 1\r\nx\r\nPING\r\n"]


def test_it_is_there_before_it_is_connected() -> None:
    assert JoiningTransport()
