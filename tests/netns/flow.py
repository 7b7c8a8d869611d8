#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A transfer of which no packet may be lost, and what was lost of it.

  flow.py server ADDRESS PORT            answers on UDP and TCP: every datagram, every byte
  flow.py udp ADDRESS PORT RATE          RATE numbered datagrams a second, 1,000 bytes each
  flow.py tcp ADDRESS PORT RATE          one connection, RATE blocks of 4,000 bytes a second, echoed
Both say `established` and then, five times a second, what they know: `sent N lost N back N` (back: what
came back as an echo) and more. On SIGTERM they stop sending, wait for what is under way, and say
`done sent N lost N back N`.

A datagram is lost when its echo did not come within 2 s: that is the proof. Of TCP, `lost` is what had to
be sent again and the other end did not call (DSACK) a duplicate: where a machine stalls, TCP sends
again what was never lost, and this is an upper bound.
"""
import array
import errno
import fcntl
import select
import signal
import socket
import struct
import sys
import termios
import time

SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
DATAGRAM, BLOCK = 1000, 4000
LATE = 2.0


def say(*words):
    print("%.3f" % time.monotonic(), *words, flush=True)


def make(address, kind):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    for force, plain in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        if kind == socket.SOCK_DGRAM:  # a burst after a stall must not be lost here
            s.setsockopt(socket.SOL_SOCKET, force, 8 << 20)
    return s


def server(address, port):
    u, t = make(address, socket.SOCK_DGRAM), make(address, socket.SOCK_STREAM)
    t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for s in (u, t):
        s.bind((address, int(port)))
        s.setblocking(False)
    t.listen(8)
    say("listening")
    owed = {}  # connection: what is still to be echoed
    while True:
        readers = [u, t] + [c for c in owed if len(owed[c]) < 1 << 20]
        ready, writable, _ = select.select(readers, [c for c in owed if owed[c]], [])
        for s in ready:
            try:
                if s is u:
                    data, peer = u.recvfrom(2048)
                    u.sendto(data, peer)
                elif s is t:
                    c, _ = t.accept()
                    c.setblocking(False)
                    owed[c] = bytearray()
                else:
                    data = s.recv(1 << 16)
                    if not data:
                        raise ConnectionResetError
                    owed[s] += data
            except BlockingIOError:
                pass
            except OSError:
                if s in owed:
                    del owed[s]
                    s.close()
        for c in writable:
            if c in owed:
                try:
                    del owed[c][:c.send(owed[c])]
                except OSError:
                    pass


class Flow:
    """Sends by the clock, listens in between; report() when told to stop, and now and then."""

    def __init__(self, rate):
        self.rate, self.stop, self.sent = float(rate), False, 0
        self.began = time.monotonic()
        signal.signal(signal.SIGTERM, self.term)

    def term(self, *_):
        self.stop = True

    def due(self):
        """How many should have been sent by now: after a stall no more than 20 at once."""
        now = time.monotonic()
        behind = int((now - self.began) * self.rate) - self.sent
        if behind > 20:
            self.began += (behind - 20) / self.rate
        return min(behind, 20)

    def run(self):
        told = time.monotonic()
        while not self.stop:
            for _ in range(max(0, self.due())):
                self.send()
            select.select([self.s], [], [], 0.5 / self.rate)
            self.listen()
            if time.monotonic() - told > 0.2:
                told = time.monotonic()
                say(*self.report())
        end = time.monotonic() + LATE
        while not self.complete() and time.monotonic() < end:
            select.select([self.s], [], [], 0.05)
            self.listen()
        say("done", *self.report(True))


class Udp(Flow):
    def __init__(self, address, port, rate):
        super().__init__(rate)
        self.s = make(address, socket.SOCK_DGRAM)
        self.s.connect((address, int(port)))
        self.s.setblocking(False)
        self.open, self.back, self.refused, self.longest = {}, 0, 0, 0.0

    def send(self):
        self.sent += 1
        self.open[self.sent] = time.monotonic()
        try:
            self.s.send(struct.pack(">Q", self.sent).ljust(DATAGRAM, b"."))
        except OSError:  # not sent is lost, too
            self.refused += 1

    def listen(self):
        try:
            while True:
                number = struct.unpack(">Q", self.s.recv(2048)[:8])[0]
                if not self.back:
                    say("established")
                self.back += 1
                at = self.open.pop(number, None)
                if at:
                    self.longest = max(self.longest, time.monotonic() - at)
        except BlockingIOError:
            pass
        except OSError:
            self.refused += 1

    def complete(self):
        return not self.open

    def report(self, last=False):
        now = time.monotonic()
        lost = [n for n, t in self.open.items() if last or now - t > LATE]
        words = ["sent", self.sent, "lost", len(lost), "back", self.back, "errors", self.refused, "longest %.3f" % self.longest]
        return words + ["%d@%.3f" % (n, self.open[n]) for n in lost[:10]]


class Tcp(Flow):
    def __init__(self, address, port, rate):
        super().__init__(rate)
        self.s = make(address, socket.SOCK_STREAM)
        self.s.settimeout(10)
        self.s.connect((address, int(port)))
        self.s.setblocking(False)
        say("established")
        self.back, self.ended = 0, ""

    def send(self):
        try:  # what does not fit is not sent: slower, not lost
            self.s.send(b"." * BLOCK)
        except BlockingIOError:
            pass
        except OSError as e:
            self.end(e)
        self.sent += 1

    def listen(self):
        try:
            while True:
                data = self.s.recv(1 << 16)
                if not data:
                    raise ConnectionResetError(errno.ECONNRESET, "EOF")
                self.back += len(data)
        except BlockingIOError:
            pass
        except OSError as e:
            self.end(e)

    def end(self, e):
        say("ended", errno.errorcode.get(e.errno, str(e)))
        sys.exit(1)

    def complete(self):
        left = array.array("i", [0])
        fcntl.ioctl(self.s, termios.TIOCOUTQ, left)
        return left[0] == 0

    def report(self, last=False):
        # struct tcp_info of linux/tcp.h: tcpi_total_retrans, tcpi_data_segs_out, tcpi_dsack_dups
        info = self.s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        again, segments, both = (struct.unpack_from("=I", info, at)[0] for at in (100, 156, 216))
        return ["sent", segments, "lost", max(0, again - both), "again", again, "for-nothing", both,
                "back", self.back // BLOCK]


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "server":
        server(*sys.argv[2:])
    elif len(sys.argv) == 5 and sys.argv[1] in ("udp", "tcp"):
        {"udp": Udp, "tcp": Tcp}[sys.argv[1]](*sys.argv[2:]).run()
    else:
        sys.exit(__doc__)
