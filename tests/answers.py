"""Valid and invalid answers of servers, as bytes."""

from __future__ import annotations

import gzip

LINE = b"HTTP/1.1 200 OK\r\n"
ZIPPED = gzip.compress(b"hello")

WHOLE = {
    "a length": (LINE + b"Content-Length: 5\r\n\r\nhello", True),
    "a length of nothing": (LINE + b"Content-Length: 0\r\n\r\n", True),
    "chunks": (LINE + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", True),
    "chunks in capitals": (LINE + b"TRANSFER-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", True),
    "chunks with extensions": (LINE + b'Transfer-Encoding: chunked\r\n\r\n5;a=b;c="d;e"\r\nhello\r\n0;f\r\n\r\n', True),
    "chunks with trailers": (LINE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\nZ: z\r\n\r\n", True),
    "gzip": (LINE + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED, True),
    "gzip in chunks": (
        LINE
        + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(ZIPPED), ZIPPED),
        True,
    ),
    "a close": (LINE + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", False),
    "a close among others": (LINE + b"Connection: x, Close\r\nContent-Length: 5\r\n\r\nhello", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
    "HTTP/1.0 that keeps": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True),
    "an interim answer before": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + LINE + b"Content-Length: 5\r\n\r\nhello",
        True,
    ),
    "many interim answers before": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nContent-Encoding: br\r\n\r\n"
        + LINE
        + b"Content-Length: 5\r\n\r\nhello",
        True,
    ),
    "a header in UTF-8": (LINE + "X: ü\r\nContent-Length: 5\r\n\r\nhello".encode(), True),
    "a body that ends with a line end": (LINE + b"Content-Length: 7\r\n\r\nhello\r\n", True),
}
"""Valid answers with the body `hello` or no body, and whether the connection is kept."""

MORE = [
    b"H",
    b"\r\n",
    b"\n",
    b"\r",
    b"x",
    LINE,
    b"HTTP/1.1 408 Timeout\r\nConnection: close\r\n\r\n",
    b"\x00",
    b"0\r\n\r\n",
]
"""Data that a server must not send after an answer."""

REFUSED = {
    "another protocol": b"220 mail.example ESMTP\r\n",
    "HTTP/0.9": b"<html></html>",
    "a line end before": b"\r\n" + LINE + b"Content-Length: 0\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9 by name": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "RTSP": b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "status 0": b"HTTP/1.1 000 Low\r\nContent-Length: 0\r\n\r\n",
    "status 101": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
    "status of letters": b"HTTP/1.1 abc Odd\r\nContent-Length: 0\r\n\r\n",
    "two lengths": LINE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "one length twice": LINE + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "a list of lengths": LINE + b"Content-Length: 1, 1\r\n\r\nx",
    "a negative length": LINE + b"Content-Length: -1\r\n\r\nx",
    "a length with a sign": LINE + b"Content-Length: +1\r\n\r\nx",
    "a length in hexadecimal": LINE + b"Content-Length: 0x1\r\n\r\nx",
    "a length of no digits": LINE + b"Content-Length: \r\n\r\nx",
    "a length beyond all": LINE + b"Content-Length: 99999999999999999999999\r\n\r\nx",
    "a length and chunks": LINE + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunks and a length": LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "an unknown framing": LINE + b"Transfer-Encoding: gzip\r\n\r\nx",
    "a framing in gzip": LINE + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "a framing of none": LINE + b"Transfer-Encoding: identity\r\n\r\nx",
    "chunks of chunks": LINE + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunks before gzip": LINE + b"Transfer-Encoding: chunked, gzip\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "a chunk of no size": LINE + b"Transfer-Encoding: chunked\r\n\r\n\r\nx\r\n0\r\n\r\n",
    "a chunk of no number": LINE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n",
    "a chunk of a negative size": LINE + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    "a chunk beyond all": LINE + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "a chunk that goes on": LINE + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "a length in the trailers": LINE + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 1\r\n\r\n",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a folded header": LINE + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": LINE + b"X : a\r\nContent-Length: 0\r\n\r\n",
    "a header without a colon": LINE + b"X\r\nContent-Length: 0\r\n\r\n",
    "a header without a name": LINE + b": a\r\nContent-Length: 0\r\n\r\n",
    "a zero in a header": LINE + b"X: \0\r\nContent-Length: 0\r\n\r\n",
    "a bare return in a header": LINE + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "a body with an interim answer": b"HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\nx" + LINE,
    "201 headers": LINE + b"".join(b"X-%d: y\r\n" % number for number in range(201)) + b"\r\n",
    "a head of 70 kB": LINE + b"".join(b"X-%d: %b\r\n" % (number, b"y" * 1000) for number in range(70)) + b"\r\n",
    "a header of 70 kB": LINE + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    "a header without end": LINE + b"X: " + b"y" * 70_000,
    "a line without end": b"HTTP/1.1 200 " + b"y" * 70_000,
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 3000,
    "an extension without end": LINE + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"y" * 70_000,
    "a trailer without end": LINE + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: " + b"y" * 70_000,
}
"""Data that is not a valid answer."""

UNREADABLE = {
    "an unknown coding": LINE + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
    "two codings": LINE + b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    "no gzip at all": LINE + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "gzip without its tail": LINE + b"Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n" + ZIPPED[:10],
}
"""Complete answers whose content cannot be read."""
