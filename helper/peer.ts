/** Who is at the other end of a unix socket, as the kernel saw it connect. */
import { libc } from "./libc.js";

export interface Peer {
  pid: number;
  uid: number;
  gid: number;
}

const getsockopt = libc("int getsockopt(int fd, int level, int name, void *value, void *length)");
/** <asm-generic/socket.h> */
const socketLevel = 1;
const peerCredentials = 17;
/** struct ucred: three 32-bit numbers, socket(7). */
const credentialBytes = 12;

/** @throws the kernel's error, ENOTSOCK or EINVAL among them */
export function peerOf(fd: number): Peer {
  const value = Buffer.alloc(credentialBytes);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(credentialBytes);
  getsockopt(fd, socketLevel, peerCredentials, value, length);
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}
