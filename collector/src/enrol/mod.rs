//! Certificates: the CA, one-time tokens, EST (RFC 7030).
