"""Unary gRPC calls over HTTP/2, as bytes in and bytes out, for the load generator.

A gRPC client library costs its caller about as much CPU as the server under test
spends, so on a small machine it would measure itself. A load generator needs far
less: all but the timeout of its headers stays the same, and an answer is three frames.

    call(body)       HEADERS (indexed from the second call on) + DATA, END_STREAM
    give_up(stream)  RST_STREAM
    receive(bytes)   HEADERS, DATA, trailing HEADERS → Answer(stream, status, body)

Our settings forbid the server a dynamic header table, so `grpc-status` always stands in
clear; for a stream that is reset it is what a client library makes of the code (gRPC over
HTTP/2, "Errors"). Frames follow RFC 9113, header fields RFC 7541. The connection's send
window is kept; a body must fit one frame and the stream window, which small calls always do.
"""

import struct
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BODY_BYTES_MAX = 16_384 - 5
WINDOW_START = 65_535
WINDOW_RAISE = 2**30

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_STATUS = b"grpc-status"
_STREAMS_MAX = 2**30
_FRAME_HEAD = 9

OK, CANCELLED, UNKNOWN, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE = 0, 1, 2, 8, 13, 14
_CANCEL = 8
_STATUS_OF_RESET = {7: UNAVAILABLE, _CANCEL: CANCELLED, 11: RESOURCE_EXHAUSTED}
_MAX_CONCURRENT_STREAMS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one call: its gRPC status, and the answer's message without its gRPC prefix."""

    stream: int
    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """True for a call that was answered."""
        return self.status == OK


class ConnectionLost(Exception):
    """The server closed the connection or said it would."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return one HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Connection:
    """The client's side of one connection; does no I/O.

    What has to be sent collects in `outgoing`: take it, send it, clear it.
    """

    def __init__(self, path: str, authority: str, authorization: str = "") -> None:
        """`authorization` is sent with every call, "" for none."""
        self.outgoing = bytearray(PREFACE)
        # HEADER_TABLE_SIZE 0, ENABLE_PUSH 0, INITIAL_WINDOW_SIZE 2^30
        self.outgoing += frame(_SETTINGS, 0, 0, struct.pack(">HIHIHI", 1, 0, 2, 0, 4, WINDOW_RAISE))
        self.outgoing += frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_RAISE))
        self._headers, self._indexed = headers_of(path, authority, authorization)
        self.streams_max = _STREAMS_MAX
        """Calls that the server takes at once; as many as may be until it has said so."""
        self._stream = -1
        self._incoming = bytearray()
        self._unacknowledged = 0
        self._send_window = WINDOW_START
        self._held: dict[int, bytes] = {}
        """DATA frames that the send window has no room for, by stream, in order."""
        self._bodies: dict[int, bytes] = {}

    def call(self, body: bytes, timeout_ms: int = 0) -> int:
        """Start a call with one serialised message; return its stream, odd and increasing.

        `timeout_ms`: how long the caller waits, 0 for ever.

        Raises:
            ValueError: the message does not fit one frame.
        """
        if len(body) > BODY_BYTES_MAX:
            raise ValueError(f"a body of {len(body)} bytes; at most {BODY_BYTES_MAX} fit one frame")
        self._stream += 2
        if self._stream > _STREAMS_MAX:
            raise ConnectionLost("the connection ran out of stream ids; open a new one")
        timeout = _TIMEOUT + _text(f"{timeout_ms}m") if timeout_ms else b""
        headers = frame(_HEADERS, _END_HEADERS, self._stream, self._headers + timeout)
        data = frame(_DATA, _END_STREAM, self._stream, struct.pack(">BI", 0, len(body)) + body)
        self._headers = self._indexed
        self.outgoing += headers
        if self._held or len(body) + 5 > self._send_window:
            self._held[self._stream] = data
        else:
            self._send_window -= len(body) + 5
            self.outgoing += data
        return self._stream

    def give_up(self, stream: int) -> None:
        """Tell the server that nobody waits for a call any more; what was not sent of it is not sent."""
        self._held.pop(stream, None)
        self._bodies.pop(stream, None)
        self.outgoing += frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL))

    def receive(self, data: bytes) -> list[Answer]:
        """Take bytes from the server; return the calls that they end, in their order.

        Raises:
            ConnectionLost: the server sent GOAWAY, or `data` is empty.
        """
        if not data:
            raise ConnectionLost("the server closed the connection")
        incoming = self._incoming
        incoming += data
        answers: list[Answer] = []
        at, end = 0, len(incoming)
        while end - at >= _FRAME_HEAD:
            length = incoming[at] << 16 | incoming[at + 1] << 8 | incoming[at + 2]
            if end - at < _FRAME_HEAD + length:
                break
            kind, flags = incoming[at + 3], incoming[at + 4]
            stream = int.from_bytes(incoming[at + 5 : at + 9], "big") & 0x7FFF_FFFF
            payload = bytes(incoming[at + _FRAME_HEAD : at + _FRAME_HEAD + length])
            at += _FRAME_HEAD + length
            if kind == _DATA:
                self._unacknowledged += length
                self._bodies[stream] = self._bodies.get(stream, b"") + payload
            elif kind == _HEADERS and flags & _END_STREAM:
                answers.append(Answer(stream, _status_in(payload), self._bodies.pop(stream, b"")[5:]))
            elif kind == _RST_STREAM:
                code = int.from_bytes(payload[:4], "big")
                status = _STATUS_OF_RESET.get(code, INTERNAL)
                answers.append(Answer(stream, status, self._bodies.pop(stream, b"")[5:]))
            elif kind != _HEADERS:
                self._control(kind, flags, stream, payload)
        del incoming[:at]
        if self._unacknowledged > WINDOW_RAISE // 2:
            self.outgoing += frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unacknowledged))
            self._unacknowledged = 0
        return answers

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _GOAWAY:
            raise ConnectionLost(f"the server said goodbye: {payload[8:].decode(errors='replace')}")
        if kind == _SETTINGS and not flags & _ACK:
            for key, value in struct.iter_unpack(">HI", payload):
                if key == _MAX_CONCURRENT_STREAMS:
                    self.streams_max = value
            self.outgoing += frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self.outgoing += frame(_PING, _ACK, 0, payload)
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._send_window += int.from_bytes(payload, "big") & 0x7FFF_FFFF
            while self._held and len(next(iter(self._held.values()))) - _FRAME_HEAD <= self._send_window:
                data = self._held.pop(next(iter(self._held)))
                self._send_window -= len(data) - _FRAME_HEAD
                self.outgoing += data


def _status_in(trailers: bytes) -> int:
    _, _, rest = trailers.partition(_STATUS)
    digits = rest[1 : 1 + rest[0]] if rest else b""
    return int(digits) if digits.isdigit() else UNKNOWN


def _text(value: str) -> bytes:
    raw = value.encode("ascii")
    if len(raw) > 126:
        raise ValueError(f"{value!r}: a header value longer than 126 bytes")
    return bytes([len(raw)]) + raw


# Sent as it is and kept by nobody, since it is another one with every call.
_TIMEOUT = b"\x00" + _text("grpc-timeout")


def headers_of(path: str, authority: str, authorization: str = "") -> tuple[bytes, bytes]:
    """Return a block that enters the headers into the server's table, and the same by index."""
    fields = [
        b"\x44" + _text(path),
        b"\x41" + _text(authority),
        b"\x5f" + _text("application/grpc"),
        b"\x40" + _text("te") + _text("trailers"),
    ]
    if authorization:
        fields.append(b"\x57" + _text(authorization))
    start = b"\x83\x86"  # :method POST, :scheme http
    newest = 62
    by_index = bytes(0x80 | newest + len(fields) - 1 - place for place in range(len(fields)))
    return start + b"".join(fields), start + by_index
