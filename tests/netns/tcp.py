#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain programs that know nothing of overlayd: what a user's traffic sees.

  tcp.py server ADDRESS PORT             echo server; says accept and the end of each connection
  tcp.py client ADDRESS PORT             one connection kept busy; says established, beat, ended WHY
  tcp.py udpserver ADDRESS PORT          echo datagrams; says accept for each new sender
  tcp.py udpclient ADDRESS PORT          one flow of datagrams kept busy; says established, beat
  tcp.py send ADDRESS PORT MEGABYTES     send that much to `sink`; exit 0: it said that all came
  tcp.py sink ADDRESS PORT               count what each connection brings, answer its number
  tcp.py probe ADDRESS PORT SECONDS      exit 0: open; 1: refused, timeout, unreachable (said)
  tcp.py wait ADDRESS PORT               try until it is open, then say so and end
  tcp.py scan ADDRESS FIRST-LAST SECONDS ports that answered, and how, at most SCAN_MOST at a time
  tcp.py ping ADDRESS SIZE               one ICMP echo with DF, exit 0: answered within 1 s
  tcp.py rtt ADDRESS PORT SECONDS        an echo each millisecond; says the 99th percentile, in us, alone
  tcp.py flood ADDRESS PORT SRC-PORT N   N connects from a fixed source port
Each line begins with seconds of the monotonic clock, the same in all namespaces.
"""
import errno
import os
import resource
import select
import selectors
import socket
import struct
import sys
import time

SCAN_MOST = 4096


def say(*words):
    print("%.3f" % time.monotonic(), *words, flush=True)


def why(e):
    return errno.errorcode.get(e.errno, str(e)) if getattr(e, "errno", None) else str(e)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def server(address, port):
    s = socket.socket(family(address))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, int(port)))
    s.listen(128)
    sel = selectors.DefaultSelector()
    sel.register(s, selectors.EVENT_READ, None)
    say("listening")
    while True:
        for key, _ in sel.select():
            if key.data is None:
                c, peer = s.accept()
                sel.register(c, selectors.EVENT_READ, "%s:%d" % peer[:2])
                say("accept", "%s:%d" % peer[:2])
                continue
            try:
                data = key.fileobj.recv(65536)
                if data:
                    key.fileobj.sendall(data)
                    continue
                end = "EOF"
            except OSError as e:
                end = why(e)
            say("ended", key.data, end)
            sel.unregister(key.fileobj)
            key.fileobj.close()


def client(address, port):
    s = socket.socket(family(address))
    s.settimeout(5)
    try:
        s.connect((address, int(port)))
    except OSError as e:
        say("failed", why(e))
        return 1
    s.settimeout(None)
    say("established", "%s:%d" % s.getsockname()[:2])
    beat, last = 0, time.monotonic()
    while True:
        try:
            s.sendall(b"x")
            if not s.recv(1):
                say("ended", "EOF")
                return 1
        except OSError as e:
            say("ended", why(e))
            return 1
        t = time.monotonic()
        if t - last > 0.25:
            say("gap", "%.3f" % (t - last))
        beat, last = beat + 1, t
        say("beat", beat)
        time.sleep(0.02)


def udpserver(address, port):
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.bind((address, int(port)))
    say("listening")
    seen = set()
    while True:
        data, peer = s.recvfrom(2048)
        if peer not in seen:
            seen.add(peer)
            say("accept", "%s:%d" % peer[:2])
        s.sendto(data, peer)


def udpclient(address, port):
    """Never gives up: whether its beats go on is for the caller to judge."""
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.connect((address, int(port)))
    s.settimeout(0.2)
    beat = 0
    while True:
        try:
            s.send(b"x")
            s.recv(16)
        except OSError:
            time.sleep(0.02)
            continue
        if not beat:
            say("established")
        beat += 1
        say("beat", beat)
        time.sleep(0.02)


def sink(address, port):
    s = socket.socket(family(address))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, int(port)))
    s.listen(8)
    say("listening")
    while True:
        c, peer = s.accept()
        total, part = 0, b"x"
        try:
            while part:
                part = c.recv(1 << 20)
                total += len(part)
            c.sendall(b"%d\n" % total)
        except OSError as e:
            say("ended", "%s:%d" % peer[:2], why(e))
        say("got", total)
        c.close()


def send(address, port, megabytes):
    data, n = os.urandom(1 << 20), int(megabytes)
    t0 = time.monotonic()
    try:
        s = socket.create_connection((address, int(port)), 5)
        s.settimeout(60)
        for _ in range(n):
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = s.makefile().readline().strip()
    except OSError as e:
        say("failed", why(e))
        return 1
    t = time.monotonic() - t0
    say("sent", n, "MB in", "%.1f s, %.0f Mbit/s" % (t, n * 8.388608 / t))
    return 0 if got == str(n << 20) else 1


def probe(address, port, seconds):
    s = socket.socket(family(address))
    s.settimeout(float(seconds))
    try:
        s.connect((address, int(port)))
    except OSError as e:
        say("timeout" if isinstance(e, socket.timeout) else why(e))
        return 1
    say("open")
    return 0


def wait(address, port):
    """Ten tries a second at most, none of them longer."""
    say("waiting")
    while True:
        s = socket.socket(family(address))
        s.settimeout(0.1)
        try:
            s.connect((address, int(port)))
            say("open")
            return 0
        except OSError:
            time.sleep(0.02)
        s.close()


def scan(address, ports, seconds):
    first, last = map(int, ports.split("-"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (SCAN_MOST + 64, max(SCAN_MOST + 64, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    todo, pending, found = list(range(first, last + 1)), {}, {}
    sel = selectors.DefaultSelector()
    while todo or pending:
        while todo and len(pending) < SCAN_MOST:
            s = socket.socket(family(address))
            s.setblocking(False)
            port = todo.pop(0)
            e = s.connect_ex((address, port))
            if e in (0, errno.EINPROGRESS):
                pending[s] = (port, time.monotonic() + float(seconds))
                sel.register(s, selectors.EVENT_WRITE)
            else:
                found[port] = errno.errorcode[e]
                s.close()
        ready = [key.fileobj for key, _ in sel.select(0.05)]
        t = time.monotonic()
        late = []
        for s in pending:  # in the order in which they began
            if pending[s][1] >= t:
                break
            late.append(s)
        for s in ready:
            e = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            found[pending[s][0]] = errno.errorcode[e] if e else "open"
        for s in set(ready + late):
            sel.unregister(s)
            del pending[s]
            s.close()
    for port in sorted(found):
        print(port, found[port])
    return 0


def checksum(b):
    if len(b) % 2:
        b += b"\0"
    total = sum(struct.unpack(">%dH" % (len(b) // 2), b))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(address, size):
    v6 = family(address) == socket.AF_INET6
    s = socket.socket(family(address), socket.SOCK_RAW, 58 if v6 else 1)
    s.setsockopt(41 if v6 else 0, 23 if v6 else 10, 2)  # path MTU discovery: do not fragment
    ident, t0 = os.getpid() & 0xFFFF, time.monotonic()
    b = struct.pack(">BBHHH", 128 if v6 else 8, 0, 0, ident, 1) + b"o" * int(size)
    if not v6:
        b = b[:2] + struct.pack(">H", checksum(b)) + b[4:]
    try:
        s.sendto(b, (address, 0))
        while True:
            left = t0 + 1 - time.monotonic()
            if left <= 0 or not select.select([s], [], [], left)[0]:
                say("timeout")
                return 1
            r = s.recv(65536)
            r = r if v6 else r[(r[0] & 15) * 4:]
            if r[0] == (129 if v6 else 0) and struct.unpack(">H", r[4:6])[0] == ident:
                say("reply", "%.2f ms" % ((time.monotonic() - t0) * 1e3))
                return 0
    except OSError as e:
        say(why(e))
        return 1


def rtt(address, port, seconds):
    c = socket.create_connection((address, int(port)), 5)
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    took, end = [], time.monotonic() + float(seconds)
    while time.monotonic() < end:
        begun = time.monotonic()
        c.sendall(b"x")
        if not c.recv(1):
            sys.exit("the echo has ended")
        took.append(time.monotonic() - begun)
        time.sleep(0.001)
    print(int(sorted(took)[len(took) * 99 // 100] * 1e6))


def flood(address, port, source, count):
    for _ in range(int(count)):
        s = socket.socket(family(address))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.bind(("", int(source)))
        s.setblocking(False)
        s.connect_ex((address, int(port)))
        s.close()
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("server", "client", "udpserver", "udpclient", "send", "sink", "probe", "wait", "scan", "ping", "rtt", "flood"):
        sys.exit(__doc__)
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
