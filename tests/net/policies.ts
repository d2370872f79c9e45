/** Tables of rules for a network process in the lab, and the names that its resolver knows. */
import { netRules, publicNet } from "../../src/model/net-policy.js";

const resolver = "resolver 203.0.113.2";
export const open = [...netRules(publicNet), resolver];
export const listed = [
  ...netRules({
    mode: "allow",
    allow: ["a.example", "*.b.example:443", "host:7778", "192.168.7.7:8080", "*.wild.example"],
    deny: ["bad.wild.example"],
  }),
  "name allow tcp raw.example 443-443 raw raw",
  resolver,
];
export const names = {
  "a.example": ["203.0.113.1"],
  "x.b.example": ["cname:edge.example"],
  "edge.example": ["203.0.113.2", "203.0.113.1"],
  "lan.b.example": ["10.77.0.2"],
  "self.b.example": ["127.0.0.1"],
  "host.b.example": ["10.77.0.11"],
  "mixed.b.example": ["203.0.113.1", "192.168.7.7"],
  "raw.example": ["198.51.100.7"],
  "spoofed.wild.example": ["wrong:id"],
  "other.wild.example": ["wrong:question"],
  "broken.wild.example": ["raw:c00c0001000100"],
  "bad.wild.example": ["203.0.113.1"],
  "silent.wild.example": ["silent"],
};
