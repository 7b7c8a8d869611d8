# SPDX-License-Identifier: GPL-2.0-or-later
"""A member that speaks to another's overlayd by hand, as root of its node can.

session.py FROM TO hello LOWEST HIGHEST CLUSTER   what comes back, until it is closed or 8 s
session.py FROM TO silent | garbage | huge | half | flood | unknown | many | unread
session.py FROM TO note PORT                      datagrams, good and bad, from that port

Prints what happened: "hello", "closed after N ms", "open".
"""
import json
import socket
import struct
import sys
import time

FROM, TO, MODE = sys.argv[1:4]
START = time.monotonic()


def message(header, payload=b"", length=None):
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack(">II", len(text), len(payload) if length is None else length) + text + payload


def hello(lowest=1, highest=1, cluster="demo"):
    return message({"hello": "overlayd-session", "lowest": lowest, "highest": highest,
                    "release": "9.9.9", "cluster": cluster, "node": "somebody"})


def head(serial):
    return {"serial": serial, "digest": ("%02x" % (serial % 256)) * 32 if serial else "0" * 64}


def connect():
    s = socket.socket()
    if MODE == "unread":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.bind((FROM, 0))
    s.settimeout(5)
    s.connect((TO, 450))
    return s


def ended(s, limit=20, feed=None):
    """Reads until the other end closes; feed: bytes to go on sending."""
    end = time.monotonic() + limit
    seen = b""
    while time.monotonic() < end:
        try:
            if feed:
                s.settimeout(0.01)
                s.send(feed)
            else:
                s.settimeout(max(0.01, end - time.monotonic()))
            data = s.recv(65536)
            if not data:
                break
            if not seen:
                print("hello" if b"overlayd-session" in data else data[:100])
            seen = (seen + data)[-1000:]
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        print("open")
        return False
    print("closed after %d ms" % ((time.monotonic() - START) * 1000))
    return True


def notes(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((FROM, port))
    good = message({"note": "overlayd-session", "cluster": "demo", "head": head(3)})
    bad = [b"", b"x", good[:-1], good + b"\0", message({"note": 1}), b"\xff" * 600,
           message({"note": "overlayd-session", "cluster": "other", "head": head(3)})]
    for _ in range(2000):
        for datagram in bad + [good]:
            s.sendto(datagram, (TO, 450))
    print("sent")


def main():
    if MODE == "note":
        notes(int(sys.argv[4]))
        return True
    s = connect()
    if MODE == "hello":
        s.send(hello(int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]))
        return ended(s, 8)
    if MODE == "silent":
        return ended(s)
    if MODE == "garbage":
        s.send(b"GET / HTTP/1.0\r\n\r\n")
        return ended(s)
    if MODE == "huge":  # a bundle that nobody asked for: its length alone is too much
        s.send(hello() + message({"msg": "bundle", "head": head(9)}, length=30 << 20))
        return ended(s)
    if MODE == "half":  # a message that never ends
        s.send(hello() + message({"msg": "bundle", "head": head(9)}, b"x", length=1000))
        return ended(s, 60)
    if MODE == "flood":  # as fast as it is taken, for 3 s: it must be slowed down, not served
        s.send(hello())
        ended(s, 3, message({"msg": "who", "since": "0" * 16}) * 200)
        return True
    if MODE == "unknown":
        s.send(hello())
        return ended(s, 20, message({"msg": "weather"}))
    if MODE == "unread":
        s.send(hello() + message({"msg": "want", "head": head(0)}))
        print("asked", flush=True)
        time.sleep(300)
    if MODE == "many":  # more connections than a peer has
        more = [s] + [connect() for _ in range(5)]
        for one in more:
            one.send(hello())
        closed = sum(ended(one, 1) for one in more)
        print("%d of 6 closed" % closed)
        return closed >= 4
    raise SystemExit(__doc__)


sys.exit(0 if main() else 1)
