"""A name server of the outside, for tests: on the loopback of their own network."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.message
import dns.rrset
from dns.message import Message

__all__ = ["Server", "address", "server"]


class Server:
    """A name server of the outside, on 127.0.0.1: it answers each question by *answer*, over UDP and TCP."""

    def __init__(self, answer: Callable[[Message], Message | None]) -> None:
        self.answer, self.asked = answer, list[Message]()
        self.peers = list[tuple[int, int]]()  # id and port of each question over UDP
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.udp.bind(("127.0.0.1", 53))
        self.tcp.bind(("127.0.0.1", 53))
        self.tcp.listen()
        self.end, self._ending = socket.socketpair()
        self.thread = threading.Thread(target=self.serve)

    def serve(self) -> None:
        while True:
            ready = select.select([self.udp, self.tcp, self._ending], [], [])[0]
            if self._ending in ready:
                return
            if self.udp in ready:
                data, peer = self.udp.recvfrom(65535)
                question = dns.message.from_wire(data)
                self.peers.append((question.id, peer[1]))
                if reply := self.reply(question):
                    self.udp.sendto(reply.to_wire(max_size=65535), peer)
            if self.tcp in ready:
                with self.tcp.accept()[0] as connection:
                    size = struct.unpack(">H", connection.recv(2, socket.MSG_WAITALL))[0]
                    question = dns.message.from_wire(connection.recv(size, socket.MSG_WAITALL))
                    if reply := self.reply(question):
                        data = reply.to_wire(max_size=65535)
                        connection.sendall(struct.pack(">H", len(data)) + data)

    def reply(self, question: Message) -> Message | None:
        self.asked.append(question)
        return self.answer(question)

    def close(self) -> None:
        self.end.close()
        self.thread.join()
        for one in (self.udp, self.tcp, self._ending):
            one.close()


@contextmanager
def server(answer: Callable[[Message], Message | None]) -> Iterator[Server]:
    made = Server(answer)
    made.thread.start()
    try:
        yield made
    finally:
        made.close()


def address(*texts: str) -> Callable[[Message], Message]:
    """Answers with these addresses."""

    def answer(question: Message) -> Message:
        reply = dns.message.make_response(question)
        name = question.question[0].name
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", *texts))
        return reply

    return answer
