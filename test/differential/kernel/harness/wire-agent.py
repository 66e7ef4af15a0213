"""One process that is a whole laboratory: it makes two network namespaces without names, the host
and the world around it, runs the real tools in them, sends frames into the host's devices and hears
what comes out.

    world  w0 == eth0  host
           w1 == p1

Or it makes a network of many hosts with cables between them, and opens connections in them.

Requests come as JSON lines on stdin, one answer each on stdout. Namespaces that have no name live as
long as something of this process lives in them, so they are gone whatever ends it; nothing has to be
removed. Python because AF_PACKET with virtio-net headers needs no compiler here, and because the time
goes into the kernel and its tools: this process handles some 100,000 frames a second.

It stays on one processor (its argument says which, counted from the last): veth hands frames to that processor's backlog in order, so a sentinel that
comes out says that everything before it has made one more hop (see `burst`).
"""

import array
import ctypes
import errno
import fcntl
import json
import os
import re
import select
import socket
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 8, 15, 23
SO_RCVBUFFORCE = 33
NETLINK_ROUTE, RTMGRP_LINK = 0, 1
NETLINK_NETFILTER, CONNTRACK_NEW = 12, 1
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCETHTOOL, IFF_RUNNING = 0x8913, 0x8914, 0x8946, 0x40
ETHTOOL_SRXCSUM, ETHTOOL_STXCSUM, ETHTOOL_SGRO, ETHTOOL_SGSO, ETHTOOL_STSO = 0x15, 0x17, 0x2C, 0x24, 0x1F
ETH_P_ALL = 3
SENTINEL = bytes.fromhex("02000000005e" "02000000005e" "88b5")
# Hops inside one namespace that a frame, and what is made because of it, can take.
ROUNDS = 3
# Hops in a whole network that a SYN, its answer, and neighbour discovery on their ways can take.
NETWORK_ROUNDS = 200
# Seconds after which what was to come is missing: nothing waits so long that works.
PATIENCE = 30
TCI_VALID = 16
NEEDS_CSUM = 1


def in_new_namespace():
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def run(argv, stdin=""):
    done = subprocess.run(argv, input=stdin.encode(), capture_output=True, check=False)
    return {"rc": done.returncode, "out": done.stdout.decode(), "err": done.stderr.decode()}


def must(argv, stdin=""):
    result = run(argv, stdin)
    if result["rc"] != 0:
        number = re.search(r"-:(\d+)", result["err"])
        line = stdin.split("\n")[int(number[1]) - 1] if number else stdin
        raise RuntimeError(f"{argv}: {result['err']}{result['out']}\n{line}")


def sysctls(values):
    for key, value in values.items():
        path = "/proc/sys/" + key.translate(str.maketrans("./", "/."))
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(value)
        except OSError as error:
            raise RuntimeError(f"sysctl {key}={value}: {error}") from error


class Links:
    """The devices of the namespace in which it is made: their flags, and news of them."""

    def __init__(self):
        self.control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
        self.news.bind((0, RTMGRP_LINK))
        self.news.setblocking(False)

    def close(self):
        self.control.close()
        self.news.close()

    def wait_for_carrier(self, name):
        request = name.encode().ljust(40, b"\0")
        while True:
            answer = fcntl.ioctl(self.control, SIOCGIFFLAGS, request)
            if int.from_bytes(answer[16:18], sys.byteorder) & IFF_RUNNING:
                # Takes the lock under which linkwatch gives the device its queue, so that is done.
                fcntl.ioctl(self.control, SIOCSIFFLAGS, answer)
                return
            if not select.select([self.news], [], [], PATIENCE)[0]:
                raise RuntimeError(f"{name} does not come up")
            try:
                while self.news.recv(65536):
                    pass
            except BlockingIOError:
                pass
            except OSError as error:  # More news than it could hold are news, too.
                if error.errno != errno.ENOBUFS:
                    raise


class Births:
    """Connections of the namespace in which it is made, told when they enter the table."""

    def __init__(self):
        self.news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.news.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self.news.bind((0, CONNTRACK_NEW))
        self.news.setblocking(False)

    def close(self):
        self.news.close()

    def take(self):
        """The messages since the last time, in order; one that did not fit is an error."""
        messages = []
        while True:
            try:
                messages.append(self.news.recv(65536).hex())
            except BlockingIOError:
                return messages


def take(step):
    """A step that is the same wherever it is taken."""
    if step["kind"] == "sysctls":
        sysctls(step["values"])
    else:
        must(step["argv"], step.get("stdin", ""))


class Lab:
    """The two namespaces of one plan."""

    def __init__(self):
        self.world = in_new_namespace()
        sysctls({f"net.ipv6.conf.{key}.disable_ipv6": "1" for key in ("all", "default")})
        self.host = in_new_namespace()
        self.ears = []
        self.sentinels = []
        self.links = Links()
        self.births = Births()
        self.far = None
        self.ends = {}

    def close(self):
        for ear in self.ears + self.sentinels + [self.links, self.births]:
            ear.close()
        if self.far is not None:
            self.far.close()
        os.close(self.world)
        os.close(self.host)

    def cables(self, devices):
        # Numbers of both ends differ, else linkwatch takes up to a second to see the carrier.
        text = "".join(
            f"link add name {name} index {10 + i} type veth peer name w{i} index {1010 + i}"
            f" netns /proc/{os.getpid()}/fd/{self.world}\n"
            for i, name in enumerate(devices)
        )
        must(["ip", "-batch", "-"], text)
        for name in devices:
            self.offloads_off(self.links.control, name)
        enter(self.world)
        self.far = Links()
        text = "".join(f"link set w{i} arp off mtu 9000 up\n" for i in range(len(devices)))
        must(["ip", "-batch", "-"], text)
        self.ends = {name: f"w{i}" for i, name in enumerate(devices)}
        for name in devices:
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
            ear.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            ear.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            ear.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            ear.bind((self.ends[name], 0))
            ear.setblocking(False)
            self.ears.append(ear)
        enter(self.host)
        for name in devices:
            out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            out.bind((name, 0))
            self.sentinels.append(out)

    @staticmethod
    def offloads_off(control, name):
        for command in (ETHTOOL_STXCSUM, ETHTOOL_SRXCSUM, ETHTOOL_SGRO, ETHTOOL_STSO, ETHTOOL_SGSO):
            value = array.array("I", [command, 0])
            address = value.buffer_info()[0]
            request = name.encode().ljust(16, b"\0") + address.to_bytes(8, sys.byteorder)
            try:
                fcntl.ioctl(control, SIOCETHTOOL, request.ljust(40, b"\0"))
            except OSError:
                if command == ETHTOOL_STXCSUM:
                    raise

    def running(self, devices):
        for name in devices:
            self.links.wait_for_carrier(name)
            if name in self.ends:
                self.far.wait_for_carrier(self.ends[name])

    def step(self, step):
        kind = step["kind"]
        if kind == "cables":
            self.cables(step["devices"])
        elif kind == "running":
            self.running(step["devices"])
        else:
            take(step)

    def burst(self, frames):
        """Send, then wait until a sentinel has come out of every device, once per hop."""
        heard = []
        for port, start, offset, text in frames:
            flags = 0 if start == 0 else NEEDS_CSUM
            head = bytes((flags, 0, 0, 0, 0, 0)) + start.to_bytes(2, "little") + offset.to_bytes(2, "little")
            self.ears[port].send(head + bytes.fromhex(text))
        for _ in range(ROUNDS):
            waiting = set()
            for port, out in enumerate(self.sentinels):
                try:
                    out.send(SENTINEL.ljust(60, b"\0"))
                    waiting.add(port)
                except OSError:
                    continue  # The plan has the device down.
            while waiting:
                ready, _, _ = select.select([self.ears[p] for p in waiting], [], [], PATIENCE)
                if not ready:
                    raise RuntimeError(f"no sentinel at {waiting}")
                for port in list(waiting):
                    if self.ears[port] in ready and self.hear(port, heard):
                        waiting.discard(port)
        return heard

    def hear(self, port, heard):
        """Take what waits at a port; true once the sentinel was among it."""
        ear = self.ears[port]
        seen = False
        while True:
            try:
                data, extras, _, _ = ear.recvmsg(70000, 256)
            except BlockingIOError:
                return seen
            frame = data[10:]
            if frame[:14] == SENTINEL:
                seen = True
                continue
            for level, kind, body in extras:
                if level != SOL_PACKET or kind != PACKET_AUXDATA:
                    continue
                if int.from_bytes(body[0:4], sys.byteorder) & TCI_VALID:
                    tci = int.from_bytes(body[16:18], sys.byteorder)
                    frame = frame[:12] + b"\x81\0" + tci.to_bytes(2, "big") + frame[12:]
            start = int.from_bytes(data[6:8], "little") if data[0] & NEEDS_CSUM else 0
            heard.append([port, start, frame.hex()])


class Network:
    """Hosts of a namespace each, with cables between them and real connections through them."""

    def __init__(self, hosts):
        self.spaces = {host: in_new_namespace() for host in hosts}
        self.watched = {}
        for host, space in self.spaces.items():
            enter(space)
            self.watched[host] = Links()
        self.own = in_new_namespace()
        must(["ip", "link", "set", "lo", "up"])
        self.echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.echo.bind(("127.0.0.1", 0))
        self.echo.connect(self.echo.getsockname())
        self.echo.settimeout(PATIENCE)

    def close(self):
        for one in [*self.watched.values(), self.echo]:
            one.close()
        for space in [*self.spaces.values(), self.own]:
            os.close(space)

    def links(self, links):
        def end(host):
            return f"netns /proc/{os.getpid()}/fd/{self.spaces[host]}"

        # Numbers as in Lab.cables.
        text = "".join(
            f"link add name {device} {end(host)} index {10 + i} type veth"
            f" peer name {peer} {end(far)} index {1010 + i}\n"
            for i, (host, device, far, peer) in enumerate(links)
        )
        must(["ip", "-batch", "-"], text)

    def steps(self, host, steps):
        enter(self.spaces[host])
        for step in steps:
            if step["kind"] == "running":
                for name in step["devices"]:
                    self.watched[host].wait_for_carrier(name)
            else:
                take(step)

    def connect(self, attempts):
        """Begin every connection; what became of each, once nothing moves any more: OK, the name of
        the error, or None where nothing came back."""
        trying = []
        for host, address, port in attempts:
            enter(self.spaces[host])
            one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            one.setblocking(False)
            trying.append((one, one.connect_ex((address, port))))
            self.settle()
        return [self.outcome(one, began) for one, began in trying]

    def settle(self):
        """Datagrams to itself go through the backlog that every cable's frames go through, too: each
        that comes back says that all of them have made one more hop."""
        for _ in range(NETWORK_ROUNDS):
            self.echo.send(b".")
            self.echo.recv(1)

    @staticmethod
    def outcome(one, began):
        with one:
            if began not in (0, errno.EINPROGRESS):
                return errno.errorcode[began]
            if not select.select([], [one], [], 0)[1]:
                return None
            error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return errno.errorcode.get(error, "OK")


def main():
    allowed = sorted(os.sched_getaffinity(0), reverse=True)
    os.sched_setaffinity(0, {allowed[int(sys.argv[1]) % len(allowed)]})
    os.environ["XTABLES_LOCKFILE"] = f"/run/wt{os.getpid()}.lock"
    lab = None
    for line in sys.stdin:
        request = json.loads(line)
        began = time.monotonic()
        try:
            answer = {}
            op = request["op"]
            if op in ("build", "network") and lab is not None:
                lab.close()
                lab = None
            if op == "build":
                lab = Lab()
                for step in request["steps"]:
                    lab.step(step)
                lab.burst([])
            elif op == "burst":
                answer["heard"] = lab.burst(request["frames"])
                answer["births"] = lab.births.take()
            elif op == "wait":
                time.sleep(request["seconds"])
            elif op == "network":
                lab = Network(request["hosts"])
            elif op == "links":
                lab.links(request["links"])
            elif op == "steps":
                lab.steps(request["host"], request["steps"])
            elif op == "connect":
                answer["outcomes"] = lab.connect(request["attempts"])
            else:
                answer["ran"] = [run(argv, request.get("stdin", "")) for argv in request["commands"]]
        except Exception as error:  # pylint: disable=broad-except
            answer = {"error": f"{type(error).__name__}: {error}"}
        answer["began"] = began
        answer["seconds"] = time.monotonic() - began
        print(json.dumps(answer), flush=True)
    try:
        os.unlink(os.environ["XTABLES_LOCKFILE"])
    except FileNotFoundError:
        pass


main()
