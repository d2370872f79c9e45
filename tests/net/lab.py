"""A host and a remote machine in network namespaces, and a guest that speaks to banger-net in frames made by hand.

Run in a network namespace of its own: `lab.py PROGRAM DIRECTORY`. Each line of its input is an operation in JSON, each
line of its output the answer. 10.77.0.1, .11 and 192.0.2.1 are the host's; the rest is the remote machine's.
"""
import ctypes, json, os, re, select, signal, socket, struct, subprocess, sys, threading, time

GUEST, GATEWAY, NAMESERVER = "10.0.2.15", "10.0.2.2", "10.0.2.3"
MAC, OTHER_MAC, GATEWAY_MAC = b"\x52\x54\x00\x12\x34\x56", b"\x52\x54\x00\x99\x99\x99", b"\x52\x55\x0a\x00\x02\x02"
HOST = ["10.77.0.1/24", "10.77.0.11/24", "192.0.2.1/24"]
REMOTE = ["203.0.113.1", "203.0.113.2", "198.51.100.7", "169.254.169.254", "100.64.0.9", "192.168.7.7", "172.20.0.9", "224.0.0.99"]
TCP_PORTS = [22, 80, 443, 8080]
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def sh(*words):
    subprocess.run(words, check=True)


def server(address, port, handler):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((address, port))
    listening.listen(1024)

    def serve():
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=handler, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def greet_and_echo(connection):
    """Says the address that was reached, then repeats what it hears."""
    try:
        connection.sendall(b"hello %s\n" % connection.getsockname()[0].encode())
        while data := connection.recv(65536):
            connection.sendall(data)
    except OSError:
        pass
    connection.close()


def name_of(message, at=12):
    labels = []
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels).lower(), at + 1


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def dns_server(address, table, asked):
    """Answers by `table`: name or *.suffix -> addresses; "cname:NAME" for an alias; "code:N"; "wrong:WHAT"; "silent"."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))
    ports = set()

    def records(name, kind, seen=0):
        found = table.get(name) or table.get("*." + name.split(".", 1)[-1]) or []
        out = b""
        for each in found:
            if each.startswith("cname:"):
                target = each[6:]
                data = encoded(target)
                out += encoded(name) + struct.pack(">HHIH", 5, 1, 60, len(data)) + data
                out += records(target, kind, seen + 1) if seen < 20 else b""
            elif re.match(r"^[\d.]+$", each) and kind == 1:
                out += encoded(name) + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(each)
        return out

    def count_of(data):
        count, at = 0, 0
        while at < len(data):
            _, at = name_of(data, at)
            at += 10 + struct.unpack(">H", data[at + 8 : at + 10])[0]
            count += 1
        return count

    def serve():
        while True:
            message, client = sock.recvfrom(4096)
            name, end = name_of(message)
            kind = struct.unpack(">H", message[end : end + 2])[0]
            ports.add(client[1])
            asked.append({"name": name, "type": kind, "id": struct.unpack(">H", message[:2])[0], "port": client[1]})
            rule = (table.get(name) or table.get("*." + name.split(".", 1)[-1]) or [""])[0]
            if rule == "silent":
                continue
            question = message[12 : end + 4]
            data = records(name, kind)
            code = int(rule[5:]) if rule.startswith("code:") else 0
            ident = message[:2]
            if rule == "wrong:id":
                ident = bytes([message[0] ^ 1, message[1]])
            if rule == "wrong:question":
                question = encoded("other.example") + message[end : end + 4]
            if rule.startswith("wrong"):
                data = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("203.0.113.1")
            count = 1 if rule.startswith("wrong") else count_of(data)
            if rule.startswith("raw:"):
                data, count = bytes.fromhex(rule[4:]), 1
            sock.sendto(ident + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0) + question + data, client)

    threading.Thread(target=serve, daemon=True).start()


def remote():
    """The other machine: it is given its end of the wire, then serves and answers questions about what it heard."""
    table, asked, heard = {}, [], []
    for line in sys.stdin:
        order = json.loads(line)
        answer = None
        if order["op"] == "start":
            sh("ip", "link", "set", "lo", "up")
            sh("ip", "addr", "add", "10.77.0.2/24", "dev", "r0")
            sh("ip", "link", "set", "r0", "up")
            sh("ip", "route", "add", "default", "via", "10.77.0.1")
            for address in REMOTE[:-1]:
                sh("ip", "addr", "add", address + "/32", "dev", "lo")
            # Nobody answers for these: a connection there hangs half open.
            sh("ip", "route", "add", "blackhole", "198.18.0.0/15")
            for port in TCP_PORTS:
                server("0.0.0.0", port, greet_and_echo)
            dns_server("203.0.113.2", table, asked)
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.setsockopt(socket.IPPROTO_IP, 8, 1)
            udp.bind(("0.0.0.0", 9999))

            def echo():
                while True:
                    data, extra, _, client = udp.recvmsg(65536, 256)
                    local = socket.inet_ntoa(extra[0][2][4:8])
                    heard.append({"from": list(client), "size": len(data)})
                    reply = data if data[:3] != b"big" else bytes(int(data[3:]))
                    udp.sendmsg([reply], [(0, 8, struct.pack("I4s4s", 0, socket.inet_aton(local), b"\0" * 4))], 0, client)

            threading.Thread(target=echo, daemon=True).start()
        elif order["op"] == "table":
            table.clear()
            table.update(order["table"])
        elif order["op"] == "asked":
            answer, asked[:] = list(asked), []
        elif order["op"] == "send":
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for port in order["ports"]:
                sock.sendto(b"intruder", (order["to"], port))
        print(json.dumps(answer), flush=True)


def total(data, seed=0):
    if len(data) % 2:
        data += b"\0"
    value = seed + sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value ^ 0xFFFF


def ip(protocol, to, body, source=GUEST, fragment=0, options=b"", number=1):
    header = 5 + len(options) // 4
    head = struct.pack(">BBHHHBBH4s4s", 0x40 | header, 0, header * 4 + len(body), number, fragment, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(to)) + options
    return head[:10] + struct.pack(">H", total(head)) + head[12:] + body


def ethernet(payload, kind=0x0800, source=MAC, to=GATEWAY_MAC):
    return to + source + struct.pack(">H", kind) + payload


def pseudo(source, to, protocol, length):
    return sum(struct.unpack(">4H", socket.inet_aton(source) + socket.inet_aton(to))) + protocol + length


def tcp_segment(source_port, to, port, seq, ack, flags, data=b"", source=GUEST, window=65535, urgent=0):
    options = b"\x02\x04\x05\xb4" if flags & SYN else b""
    segment = struct.pack(">HHIIBBHHH", source_port, port, seq, ack, (5 + len(options) // 4) << 4, flags, window, 0, urgent)
    segment += options + data
    check = total(segment, pseudo(source, to, 6, len(segment)))
    return segment[:16] + struct.pack(">H", check) + segment[18:]


def udp_datagram(source_port, to, port, data, source=GUEST):
    body = struct.pack(">HHHH", source_port, port, 8 + len(data), 0) + data
    return body[:6] + struct.pack(">H", total(body, pseudo(source, to, 17, len(body)))) + body[8:]


def dhcp(card, options):
    return b"\1\1\6\0" + os.urandom(24) + card + os.urandom(202) + b"\x63\x82\x53\x63" + options


def question(name, kind=1, ident=7, room=0):
    message = struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 1 if room else 0) + encoded(name) + struct.pack(">HH", kind, 1)
    return message + (struct.pack(">BHHIH", 0, 41, room, 0, 0) if room else b"")


def read_answer(message):
    _, at = name_of(message)
    at += 4
    code, found = message[3] & 15, []
    for _ in range(struct.unpack(">H", message[6:8])[0]):
        at = at + 2 if message[at] >= 0xC0 else name_of(message, at)[1]
        kind, _, _, length = struct.unpack(">HHIH", message[at : at + 10])
        at += 10
        if kind == 1:
            found.append(socket.inet_ntoa(message[at : at + 4]))
        at += length
    return {"code": code, "addresses": found, "cut": bool(message[2] & 2), "size": len(message)}


class Lab:
    def __init__(self, program, directory):
        self.program, self.directory = program, directory
        self.port, self.seq, self.connections = 20000, 1000, {}
        os.chdir(directory)
        sh("ip", "link", "set", "lo", "up")
        self.remote = subprocess.Popen(["unshare", "--net", sys.executable, __file__, "remote"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ask_remote({"op": "asked"})
        sh("ip", "link", "add", "h0", "type", "veth", "peer", "name", "r0", "netns", str(self.remote.pid))
        for address in HOST:
            sh("ip", "addr", "add", address, "dev", "h0")
        sh("ip", "link", "set", "h0", "up")
        sh("ip", "route", "add", "default", "via", "10.77.0.2")
        sh("sh", "-c", "echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range || true")
        self.ask_remote({"op": "start"})
        # What must not be reached listens everywhere, and remembers who came.
        self.reached = []
        for address, port in [("0.0.0.0", 7777), ("127.0.0.1", 7778)]:
            server(address, port, self.met)
        self.guest = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.guest.bind("net-qemu.sock")
        self.guest.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.start()

    def met(self, connection):
        self.reached.append("%s:%d" % connection.getsockname())
        greet_and_echo(connection)

    def ask_remote(self, order):
        self.remote.stdin.write(json.dumps(order) + "\n")
        self.remote.stdin.flush()
        return json.loads(self.remote.stdout.readline())

    def start(self, uid=None):
        self.process = subprocess.Popen([self.program, "--guest", "banger-00000000", "--mac", "52:54:00:12:34:56"])
        deadline = time.time() + 5
        while True:
            try:
                self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.control.connect("net-control.sock")
                self.lines = self.control.makefile("r")
                break
            except OSError:
                if time.time() > deadline:
                    raise
                time.sleep(0.01)
        while "qemu connected" not in self.request("status")["lines"]:
            time.sleep(0.01)

    def request(self, *lines):
        self.control.sendall("".join(line + "\n" for line in lines).encode())
        found = []
        while True:
            line = self.lines.readline().rstrip("\n")
            if line == "" or re.match(r"(ok|error)\b", line):
                return {"end": line, "lines": found}
            found.append(line)

    def send(self, frame):
        while True:
            try:
                return self.guest.sendto(frame, "net.sock")
            except (ConnectionRefusedError, FileNotFoundError):
                return 0

    def frames(self, seconds):
        end = time.time() + seconds
        while (left := end - time.time()) > 0:
            if not select.select([self.guest], [], [], left)[0]:
                return
            frame = self.guest.recv(65536)
            if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1":
                self.arp_reply(frame)
                continue
            yield frame

    def arp_reply(self, frame):
        body = struct.pack(">HHBBH", 1, 0x800, 6, 4, 2) + MAC + socket.inet_aton(GUEST) + frame[22:28] + frame[28:32]
        self.send(ethernet(body, 0x0806))

    def packets(self, seconds):
        for frame in self.frames(seconds):
            if frame[12:14] == b"\x08\x00" and len(frame) >= 34:
                packet = frame[14:]
                length = struct.unpack(">H", packet[2:4])[0]
                yield packet[9], socket.inet_ntoa(packet[12:16]), packet[20:length]

    def answer_to(self, protocol, to, port, mine, seconds):
        """What comes back for one flow: a TCP segment, a datagram, or the code of an ICMP error about it."""
        for kind, source, body in self.packets(seconds):
            if kind == 1 and body[0] == 3 and body[8 + 16 : 8 + 20] == socket.inet_aton(to):
                return "icmp", body[1], b""
            if kind == protocol == 1 and body[0] == 0:
                return "icmp-echo", source, body[8:]
            if kind == protocol and kind in (6, 17) and body[:4] == struct.pack(">HH", port, mine):
                return "tcp" if kind == 6 else "udp", source, body
        return None, None, b""

    def next_port(self):
        self.port = self.port + 1 if self.port < 60000 else 20001
        return self.port

    def tcp(self, to, port, wait=2.0, source=GUEST, mac=MAC, fragment=False, options=""):
        mine, seq = self.next_port(), 1000
        segment = tcp_segment(mine, to, port, seq, 0, SYN, source=source)
        if fragment:
            self.send(ethernet(ip(6, to, segment[:8], source, 0x2000), source=mac))
            self.send(ethernet(ip(6, to, segment[8:], source, 1), source=mac))
        else:
            self.send(ethernet(ip(6, to, segment, source, options=bytes.fromhex(options)), source=mac))
        how, code, body = self.answer_to(6, to, port, mine, wait)
        if how is None:
            return {"result": "silent"}
        if how == "icmp":
            return {"result": "icmp", "code": code}
        if body[13] & RST:
            return {"result": "reset"}
        theirs = struct.unpack(">I", body[4:8])[0] + 1
        handle = str(mine)
        self.connections[handle] = {"to": to, "port": port, "mine": mine, "seq": seq + 1, "ack": theirs}
        self.say(self.connections[handle], ACK)
        return {"result": "open", "handle": handle}

    def exchange(self, handle, send=(), wait=1.0, size=None, urgent=False, fin=False):
        """Sends each piece as a segment, acknowledges what comes, until there is so much of it; says how it ended."""
        c = self.connections[handle]
        flags = ACK | PSH | (URG if urgent else 0)
        data, end = b"", "quiet"
        pieces = [bytes.fromhex(piece) for piece in send] + ([b""] if fin else [])
        for number, piece in enumerate(pieces):
            last = fin and number == len(pieces) - 1
            self.say(c, ACK | FIN if last else flags, piece, len(piece) if urgent else 0)
            if number < len(pieces) - 1:
                more, end = self.hear(c, 0.02, None)
                data += more
        if end == "quiet":
            more, end = self.hear(c, wait, None if size is None else size - len(data))
            data += more
        return {"data": data.decode("latin1"), "end": end}

    def say(self, c, flags, data=b"", urgent=0):
        segment = tcp_segment(c["mine"], c["to"], c["port"], c["seq"], c["ack"], flags, data, urgent=urgent)
        self.send(ethernet(ip(6, c["to"], segment)))
        c["seq"] += len(data) + (1 if flags & FIN else 0)

    def hear(self, c, wait, size):
        """What comes within the time, or until there is so much of it."""
        data = b""
        if size is not None and size <= 0:
            return data, "quiet"
        for kind, source, body in self.packets(wait):
            if kind != 6 or body[:4] != struct.pack(">HH", c["port"], c["mine"]):
                continue
            seq, flags, content = struct.unpack(">I", body[4:8])[0], body[13], body[(body[12] >> 4) * 4 :]
            if flags & RST:
                return data, "reset"
            if seq == c["ack"] and (content or flags & FIN):
                data += content
                c["ack"] += len(content) + (1 if flags & FIN else 0)
                self.say(c, ACK)
                if flags & FIN:
                    return data, "fin"
            if size is not None and len(data) >= size:
                break
        return data, "quiet"

    def udp(self, to, port, data="ping", wait=2.0, source=GUEST, mac=MAC, mine=None):
        mine = mine or self.next_port()
        self.send(ethernet(ip(17, to, udp_datagram(mine, to, port, data.encode(), source), source), source=mac))
        how, code, body = self.answer_to(17, to, port, mine, wait)
        if how == "icmp":
            return {"result": "icmp", "code": code}
        return {"result": "answered", "size": len(body) - 8} if how else {"result": "silent"}

    def dns(self, name, kind=1, wait=3.0, to=NAMESERVER, room=0, ident=7):
        mine = self.next_port()
        self.send(ethernet(ip(17, to, udp_datagram(mine, to, 53, question(name, kind, ident, room)))))
        how, code, body = self.answer_to(17, to, 53, mine, wait)
        if how != "udp":
            return {"result": how or "silent", "icmp": code}
        return {"result": "answered", "id": struct.unpack(">H", body[8:10])[0], **read_answer(body[8:])}

    def ping(self, to, wait=1.5):
        body = struct.pack(">BBHHH", 8, 0, 0, 77, 1) + b"x" * 32
        body = body[:2] + struct.pack(">H", total(body)) + body[4:]
        self.send(ethernet(ip(1, to, body)))
        how, _, _ = self.answer_to(1, to, 0, 0, wait)
        return {"result": how or "silent"}

    def frame(self, hex, wait=0.5):
        """Any frame at all; what comes back within the time."""
        self.send(bytes.fromhex(hex))
        return {"frames": [frame.hex() for frame in self.frames(wait)]}

    def flood(self, kind, count, to="198.18.0.1", spread=1, port=80, suffix="flood.example"):
        """As fast as it goes; `spread`: over so many addresses."""
        base = struct.unpack(">I", socket.inet_aton(to))[0]
        peak, started = 0, time.time()
        for i in range(count):
            address = socket.inet_ntoa(struct.pack(">I", base + i % spread))
            mine = 1024 + i % 60000
            if kind == "syn":
                self.send(ethernet(ip(6, address, tcp_segment(mine, address, port + i // 60000, i, 0, SYN))))
            elif kind == "dns":
                self.send(ethernet(ip(17, NAMESERVER, udp_datagram(mine, NAMESERVER, 53, question(f"n{i}.{suffix}", 1, i & 0xFFFF)))))
            elif kind == "udp":
                self.send(ethernet(ip(17, address, udp_datagram(mine, address, 9999, b"x"))))
            elif kind == "dhcp":
                card = MAC if i % 2 else os.urandom(6)
                self.send(ethernet(ip(17, GATEWAY, udp_datagram(68, GATEWAY, 67, dhcp(card, b"\x35\1\1\xff")))))
            if i % 64 == 0:
                while select.select([self.guest], [], [], 0)[0]:
                    self.guest.recv(65536)
            if i % 2048 == 0:
                peak = max(peak, len(os.listdir(f"/proc/{self.process.pid}/fd")))
        for _ in self.frames(0.3):
            pass
        peak = max(peak, len(os.listdir(f"/proc/{self.process.pid}/fd")))
        return {"peakDescriptors": peak, **self.usage(), "seconds": time.time() - started}

    def usage(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return {"rssKiB": int(re.search(r"VmRSS:\s+(\d+)", status)[1]), "hwmKiB": int(re.search(r"VmHWM:\s+(\d+)", status)[1]),
                "descriptors": len(os.listdir(f"/proc/{self.process.pid}/fd"))}

    def fuzz(self, seed, count):
        """Frames that are right, and then changed in a few places; the process has to live."""
        import random
        r = random.Random(seed)
        targets = ["203.0.113.1", "127.0.0.1", GATEWAY, NAMESERVER, "10.77.0.11", "255.255.255.255", "198.51.100.7"]
        sent = 0
        for i in range(count):
            to, mine = r.choice(targets), r.randrange(65536)
            choice = r.randrange(6)
            if choice == 0:
                body, protocol = tcp_segment(mine, to, r.choice(TCP_PORTS), r.randrange(1 << 32), r.randrange(1 << 32), r.randrange(256), os.urandom(r.randrange(40))), 6
            elif choice == 1:
                body, protocol = udp_datagram(mine, to, r.choice([53, 67, 9999]), os.urandom(r.randrange(300))), 17
            elif choice == 2:
                body, protocol, to = udp_datagram(mine, NAMESERVER, 53, question("a%d.example" % i, r.randrange(70), i & 0xFFFF, r.choice([0, 1232]))), 17, NAMESERVER
            elif choice == 3:
                body, protocol, to = udp_datagram(68, GATEWAY, 67, dhcp(r.choice([MAC, os.urandom(6)]), os.urandom(r.randrange(60)))), 17, GATEWAY
            elif choice == 4:
                body, protocol = bytes([r.choice([0, 3, 5, 8, 13])]) + os.urandom(r.randrange(60)), 1
            else:
                body, protocol = struct.pack(">HHBBH", 1, 0x800, 6, 4, r.choice([1, 2])) + MAC + socket.inet_aton(GUEST) + bytes(6) + socket.inet_aton(to), None
            frame = bytearray(ethernet(body, 0x0806) if protocol is None else ethernet(ip(protocol, to, body)))
            for _ in range(r.choice([0, 0, 1, 1, 2, 5])):
                frame[r.randrange(len(frame))] = r.randrange(256)
            if r.randrange(8) == 0:
                frame = frame[: r.randrange(len(frame) + 1)]
            sent += self.send(bytes(frame)) > 0 or not frame
            if i % 64 == 0:
                while select.select([self.guest], [], [], 0)[0]:
                    self.guest.recv(65536)
        return {"sent": sent, "alive": self.process.poll() is None, **self.usage()}

    def spew(self, hex):
        """Bytes for the control socket on a connection of their own; what comes back."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(0.3)
        answer = b""
        try:
            sock.connect("net-control.sock")
            sock.sendall(bytes.fromhex(hex))
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                answer += data
        except OSError:
            pass
        return {"answer": answer.decode("latin1"), "alive": self.process.poll() is None}

    def forward_client(self, address, port, uid=0, answer=True):
        """Somebody of that uid connects to a forward; the guest accepts and greets. What the client heard."""
        code = f"import encodings.idna,os,socket; os.setgid({uid}); os.setuid({uid}); s=socket.create_connection(('{address}',{port}),2); s.settimeout(2); print(s.recv(99).decode())"
        client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        accepted = False
        for kind, source, body in self.packets(1.5 if answer else 0.5):
            if kind != 6 or not body[13] & SYN:
                continue
            accepted = True
            theirs, mine, seq = struct.unpack(">HHI", body[:8])
            for number, flags, data in [(500, SYN | ACK, b""), (501, ACK | PSH, b"guest speaks")]:
                self.send(ethernet(ip(6, source, tcp_segment(mine, source, theirs, number, seq + 1, flags, data))))
                time.sleep(0.05)
            break
        heard = client.communicate(timeout=5)[0].strip()
        return {"accepted": accepted, "heard": heard}

    def kill(self):
        self.process.kill()
        self.process.wait()
        return {}

    def restart(self):
        self.kill()
        started = time.time()
        self.start()
        return {"seconds": time.time() - started}

    def hold(self, hanging):
        os.kill(self.process.pid, signal.SIGSTOP if hanging else signal.SIGCONT)

    def seen(self):
        return {"reached": self.reached}

    def run(self):
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            op = order.pop("op")
            if op == "request":
                answer = self.request(*order["lines"])
            elif op in ("table", "asked", "send"):
                answer = self.ask_remote({"op": op, **order})
            else:
                answer = getattr(self, op)(**order)
            print(json.dumps(answer), flush=True)


if sys.argv[1] == "remote":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    remote()
else:
    lab = Lab(sys.argv[1], sys.argv[2])
    try:
        lab.run()
    finally:
        lab.remote.kill()
        lab.kill()
