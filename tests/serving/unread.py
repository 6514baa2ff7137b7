"""A client that asks and reads no reply."""

import socket
import struct

from benchmarks.http2 import PREFACE, frame, headers_of
from tests.serving.worlds import START_S

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _WINDOW_UPDATE = 0, 1, 3, 4, 8
_END_STREAM, _END_HEADERS, _CANCEL = 1, 4, 8


class Unread:
    """A connection whose calls are sent whole, and from which nothing is ever read."""

    def __init__(
        self,
        port: int,
        path: str,
        calls: int,
        *,
        body: bytes = b"",
        authorization: str = "",
        window: int = 0,
    ) -> None:
        """Send so many calls of one method with one serialised message; `authorization` goes with each.

        `window`: bytes that a reply may have; 0: statuses alone come through, else what the sockets hold.
        """
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=START_S)
        # HEADER_TABLE_SIZE 0, INITIAL_WINDOW_SIZE
        self._socket.sendall(PREFACE + frame(_SETTINGS, 0, 0, struct.pack(">HIHI", 1, 0, 4, window)))
        if window:
            self._socket.sendall(frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", window)))
        headers, indexed = headers_of(path, f"127.0.0.1:{port}", authorization)
        message = struct.pack(">BI", 0, len(body)) + body
        self._streams = [2 * number + 1 for number in range(calls)]
        for stream in self._streams:
            head = frame(_HEADERS, _END_HEADERS, stream, headers)
            self._socket.sendall(head + frame(_DATA, _END_STREAM, stream, message))
            headers = indexed

    def give_up(self) -> None:
        """Reset every call."""
        for stream in self._streams:
            self._socket.sendall(frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL)))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
