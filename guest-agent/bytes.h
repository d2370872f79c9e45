/* Numbers in frames: little-endian, whatever the machine. */
#ifndef BANGER_BYTES_H
#define BANGER_BYTES_H

#include <stdint.h>

static inline uint16_t get16(const unsigned char *at) {
  return at[0] | at[1] << 8;
}

static inline uint32_t get32(const unsigned char *at) {
  return get16(at) | (uint32_t)get16(at + 2) << 16;
}

static inline void put16(unsigned char *at, uint16_t value) {
  at[0] = value & 255;
  at[1] = value >> 8;
}

static inline void put32(unsigned char *at, uint32_t value) {
  put16(at, value & 0xffff);
  put16(at + 2, value >> 16);
}

static inline uint64_t get64(const unsigned char *at) {
  return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static inline void put64(unsigned char *at, uint64_t value) {
  put32(at, value & 0xffffffff);
  put32(at + 4, value >> 32);
}

#endif
