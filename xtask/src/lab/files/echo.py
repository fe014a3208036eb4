"""Sends back what it gets, over TCP and UDP on each port named, IPv4 and IPv6."""
import socket
import socketserver
import sys
import threading


class Stream(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        data, answers = self.request
        answers.sendto(data, self.client_address)


class TcpServer(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


class UdpServer(socketserver.ThreadingUDPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


for port in map(int, sys.argv[1:]):
    for kind, handler in (TcpServer, Stream), (UdpServer, Datagram):
        threading.Thread(target=kind(("::", port), handler).serve_forever).start()
