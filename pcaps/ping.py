"""One ICMP echo request to argv[1] by a raw socket, and its answer: exit 0 when it came."""
import os
import socket
import struct
import sys


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


payload = bytes(range(56))
ident = os.getpid() & 0xFFFF
blank = struct.pack("!BBHHH", 8, 0, 0, ident, 1) + payload
request = struct.pack("!BBHHH", 8, 0, checksum(blank), ident, 1) + payload
link = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
link.settimeout(5)
link.connect((sys.argv[1], 0))
link.send(request)
while True:
    packet = link.recv(2048)
    kind, _, _, answered, _ = struct.unpack("!BBHHH", packet[20:28])
    if kind == 0 and answered == ident:
        sys.exit(0)
